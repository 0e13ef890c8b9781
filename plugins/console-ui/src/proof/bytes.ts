// Bytes and how they are written; every reader takes one spelling only, so that no bit can change unseen.

export type Bytes = Uint8Array<ArrayBuffer>;

/** What is not what it says it is; the message is a sentence about what was read. */
export class NotVerified extends Error {}

export function utf8(text: string): Bytes {
    return new TextEncoder().encode(text);
}

/** The text of UTF-8 bytes; throws NotVerified for other bytes. */
export function textOf(data: Bytes, what: string): string {
    try {
        return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
    } catch {
        throw new NotVerified(`${what} is not UTF-8 text`);
    }
}

export function hex(data: Bytes): string {
    return Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function fromHex(text: string): Bytes {
    return Uint8Array.from(text.match(/../gu) ?? [], (pair) => parseInt(pair, 16));
}

export function base64(data: Bytes): string {
    let binary = "";
    for (const byte of data) binary += String.fromCharCode(byte);
    return btoa(binary);
}

/** The bytes of base64 with padding (RFC 4648 section 4); throws NotVerified for any other spelling. */
export function fromBase64(text: unknown, what: string): Bytes {
    try {
        const data = Uint8Array.from(atob(text as string), (character) => character.charCodeAt(0));
        if (typeof text === "string" && base64(data) === text) return data;
    } catch {
        // Said below, as for what decodes and encodes to another text.
    }
    throw new NotVerified(`${what} is not base64`);
}

export function joined(...parts: Bytes[]): Bytes {
    const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
    let at = 0;
    for (const part of parts) {
        whole.set(part, at);
        at += part.length;
    }
    return whole;
}

export function same(left: Bytes, right: Bytes): boolean {
    return left.length === right.length && left.every((byte, place) => byte === right[place]);
}

export async function sha256(data: Bytes): Promise<Bytes> {
    return new Uint8Array(await crypto.subtle.digest("SHA-256", data));
}

/** SHA-256 as 64 hexadecimal characters. */
export async function digest(data: Bytes): Promise<string> {
    return hex(await sha256(data));
}
