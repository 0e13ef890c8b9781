// RFC 8785 canonical JSON: one value has one spelling.
import { type Bytes, NotVerified, textOf } from "./bytes";

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type JsonObject = Record<string, Json>;

/** Encodes a value. The numbers and texts of RFC 8785 are those of ECMAScript, its order that of UTF-16 code units. */
export function canonical(value: Json): string {
    if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
    // UTF-8 cannot hold a lone surrogate, which an escape can.
    if (typeof value === "string" && !value.isWellFormed()) throw new NotVerified("a text is not Unicode");
    if (value === null || typeof value !== "object") return JSON.stringify(value);
    const names = Object.keys(value).sort();
    return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(value[name] as Json)}`).join(",")}}`;
}

/** Reads a document; throws NotVerified unless encoding its value again gives the same bytes. */
export function read(data: Bytes, what: string): Json {
    const text = textOf(data, what);
    let value: Json;
    try {
        value = JSON.parse(text) as Json;
    } catch {
        throw new NotVerified(`${what} is not JSON`);
    }
    if (canonical(value) !== text) throw new NotVerified(`${what} is not canonical JSON`);
    return value;
}

/** An object with exactly these fields; throws NotVerified for anything else. */
export function fields<Name extends string>(
    value: Json | undefined,
    what: string,
    names: readonly Name[],
): Record<Name, Json> {
    const found = object(value, what);
    const actual = Object.keys(found);
    if (actual.length !== names.length || !names.every((name) => Object.hasOwn(found, name)))
        throw new NotVerified(`${what} has other fields than ${names.join(", ")}`);
    return found as Record<Name, Json>;
}

export function object(value: Json | undefined, what: string): JsonObject {
    if (value === null || typeof value !== "object" || Array.isArray(value))
        throw new NotVerified(`${what} is not an object`);
    return value;
}

export function list(value: Json | undefined, what: string): Json[] {
    if (!Array.isArray(value)) throw new NotVerified(`${what} is not a list`);
    return value;
}

export function text(value: Json | undefined, what: string): string {
    if (typeof value !== "string") throw new NotVerified(`${what} is not a text`);
    return value;
}

export function whole(value: Json | undefined, what: string): number {
    if (!Number.isSafeInteger(value) || (value as number) < 0)
        throw new NotVerified(`${what} is not a whole number`);
    return value as number;
}
