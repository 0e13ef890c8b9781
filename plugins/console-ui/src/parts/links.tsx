// Links to pages of the console and of Airflow, which look the same everywhere.
import { Link as ChakraLink } from "@chakra-ui/react";
import { type ReactNode } from "react";
import { Link } from "react-router-dom";

import { to } from "../routes";

export function PageLink({ address, children }: { address: string; children: ReactNode }) {
    return (
        <ChakraLink asChild color="fg.info" textDecoration="underline">
            <Link to={address}>{children}</Link>
        </ChakraLink>
    );
}

export function VersionLink({ name, version }: { name: string; version: number }) {
    return <PageLink address={to.version(name, version)}>version {version}</PageLink>;
}

/** A page outside of Airflow's UI, in a tab of its own. */
export function OutsideLink({ url, children }: { url: string; children: ReactNode }) {
    return (
        <ChakraLink
            color="fg.info"
            href={url}
            rel="noopener noreferrer"
            target="_blank"
            textDecoration="underline"
        >
            {children}
        </ChakraLink>
    );
}
