// The frame of a page: where it is, its heading, and what can be done there.
import { Box, Breadcrumb, Flex, Heading } from "@chakra-ui/react";
import { Fragment, type ReactNode, useEffect } from "react";
import { Link } from "react-router-dom";

interface Props {
    title: string;
    /** The pages above, each a name and an address. */
    above?: [string, string][];
    beside?: ReactNode;
    actions?: ReactNode;
    children: ReactNode;
}

export function Frame({ title, above = [], beside, actions, children }: Props) {
    useEffect(() => {
        document.title = `${title} - Models`;
    }, [title]);
    return (
        <Box as="main" height="100%" overflowY="auto" p={5}>
            {above.length > 0 && (
                <Breadcrumb.Root mb={2}>
                    <Breadcrumb.List>
                        {above.map(([name, address]) => (
                            <Fragment key={address}>
                                <Breadcrumb.Item>
                                    <Breadcrumb.Link asChild color="fg.muted" textDecoration="underline">
                                        <Link to={address}>{name}</Link>
                                    </Breadcrumb.Link>
                                </Breadcrumb.Item>
                                <Breadcrumb.Separator />
                            </Fragment>
                        ))}
                        <Breadcrumb.Item>
                            <Breadcrumb.CurrentLink>{title}</Breadcrumb.CurrentLink>
                        </Breadcrumb.Item>
                    </Breadcrumb.List>
                </Breadcrumb.Root>
            )}
            <Flex align="center" gap={3} justify="space-between" mb={4} wrap="wrap">
                <Flex align="center" gap={3} wrap="wrap">
                    <Heading as="h1" size="xl">
                        {title}
                    </Heading>
                    {beside}
                </Flex>
                <Flex gap={2} wrap="wrap">
                    {actions}
                </Flex>
            </Flex>
            {children}
        </Box>
    );
}

/** A part of a page under a heading of its own. */
export function Section({ title, children, id }: { title: string; children: ReactNode; id?: string }) {
    const heading = `${id ?? title.toLowerCase().replaceAll(/\W+/gu, "-")}-heading`;
    return (
        <Box as="section" aria-labelledby={heading} borderWidth={1} borderRadius="md" mb={4} p={4}>
            <Heading as="h2" id={heading} mb={3} size="md">
                {title}
            </Heading>
            {children}
        </Box>
    );
}
