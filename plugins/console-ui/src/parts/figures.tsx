// How moments, figures and digests are written, everywhere alike.
import { Code } from "@chakra-ui/react";

/** A moment as UTC, without what nobody reads. */
export function moment(iso: string): string {
    return `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`;
}

/** Six significant digits at most, as the command line writes them. */
export function figure(value: unknown): string {
    if (typeof value === "number") return String(Number(value.toPrecision(6)));
    if (value === null || value === undefined) return "–";
    return typeof value === "string" ? value : JSON.stringify(value);
}

export function days(count: number): string {
    return count === 1 ? "1 day" : `${count} days`;
}

/** A digest, cut to what one can compare at a glance; the whole is its title. */
export function Digest({ value, whole = false }: { value: string; whole?: boolean }) {
    return (
        <Code title={value} wordBreak="break-all" variant="surface">
            {whole ? value : value.slice(0, 12)}
        </Code>
    );
}
