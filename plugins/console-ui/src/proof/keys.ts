// Public keys, their fingerprints, and what they signed.
import { base64, type Bytes, digest, fromBase64, fromHex, joined, NotVerified, utf8 } from "./bytes";

/** What stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410). */
const ED25519_SPKI = fromHex("302a300506032b6570032100");
const P256_COORDINATE = 32;

/** The digest of a key's PEM text, by which people name it. */
export function fingerprint(spki: Bytes): Promise<string> {
    const lines = base64(spki).match(/.{1,64}/gu) ?? [];
    return digest(utf8(["-----BEGIN PUBLIC KEY-----", ...lines, "-----END PUBLIC KEY-----", ""].join("\n")));
}

export function ed25519Spki(raw: Bytes): Bytes {
    return joined(ED25519_SPKI, raw);
}

/** Whether the browser checks Ed25519 signatures; some do not yet. */
export async function knowsEd25519(): Promise<boolean> {
    try {
        await crypto.subtle.importKey("raw", new Uint8Array(32), "Ed25519", false, ["verify"]);
        return true;
    } catch (error) {
        return !(error instanceof DOMException && error.name === "NotSupportedError");
    }
}

export async function verifyEd25519(raw: Bytes, message: Bytes, signature: Bytes): Promise<boolean> {
    try {
        const key = await crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
        return await crypto.subtle.verify("Ed25519", key, signature, message);
    } catch {
        return false;
    }
}

/** Whether an ECDSA P-256 signature in DER is this key's over SHA-256 of the message. */
export async function verifyP256(spki: Bytes, message: Bytes, signature: Bytes): Promise<boolean> {
    const algorithm = { name: "ECDSA", namedCurve: "P-256" };
    try {
        const key = await crypto.subtle.importKey("spki", spki, algorithm, false, ["verify"]);
        return await crypto.subtle.verify(
            { ...algorithm, hash: "SHA-256" },
            key,
            coordinates(signature),
            message,
        );
    } catch {
        return false;
    }
}

/** WebCrypto takes r and s one after the other, not the DER sequence of them (RFC 3279 section 2.2.3). */
function coordinates(der: Bytes): Bytes {
    if (der[0] !== 0x30 || der[1] !== der.length - 2)
        throw new NotVerified("the signature is not a DER sequence");
    const [r, afterR] = integer(der, 2);
    const [s, end] = integer(der, afterR);
    if (end !== der.length) throw new NotVerified("the signature has more than two numbers");
    return joined(r, s);
}

function integer(der: Bytes, at: number): [Bytes, number] {
    const size = der[at + 1] ?? 0;
    const end = at + 2 + size;
    const sign = der[at + 2] === 0 && size > 1 ? 1 : 0;
    const digits = der.slice(at + 2 + sign, end);
    if (der[at] !== 2 || size === 0 || end > der.length || digits.length > P256_COORDINATE)
        throw new NotVerified("the signature is not two numbers");
    return [joined(new Uint8Array(P256_COORDINATE - digits.length), digits), end];
}

export interface CheckpointKey {
    name: string;
    /** Four bytes in hexadecimal, by which a note names the key. */
    id: string;
    raw: Bytes;
}

/** Reads a key as signed notes write it: name+key id+base64(0x01 || public key). */
export async function readVkey(vkey: string): Promise<CheckpointKey> {
    const [name = "", id = "", ...rest] = vkey.split("+");
    const data = fromBase64(rest.join("+"), "the checkpoint's key");
    const expected = (await digest(joined(utf8(`${name}\n`), data))).slice(0, 8);
    if (!name || /\s/u.test(name) || data.length !== 33 || data[0] !== 1 || id !== expected)
        throw new NotVerified("the checkpoint's key is not one line, name+key id+base64, of an Ed25519 key");
    return { name, id, raw: data.slice(1) };
}
