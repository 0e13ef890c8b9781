// The artifact's signature: a sigstore bundle in the OpenSSF Model Signing format over the manifest's files.
import { type Bytes, digest, fromBase64, fromHex, joined, NotVerified, same, utf8 } from "./bytes";
import { canonical, fields, type Json, list, read, text } from "./canonical";
import { verifyP256 } from "./keys";

export interface File {
    path: string;
    size: number;
    sha256: string;
}

const PAYLOAD_TYPE = "application/vnd.in-toto+json";

/** The fingerprint of the key that a signature says is its own; throws NotVerified if it cannot be read. */
export function signer(signature: Bytes): string {
    return readSignature(signature).key;
}

/** Whether the key (DER SubjectPublicKeyInfo) signed these files as this model; throws NotVerified. */
export async function checkModelSignature(
    data: Bytes,
    modelId: string,
    files: File[],
    spki: Bytes,
): Promise<void> {
    const { payload, signature } = readSignature(data);
    const allowed = [await statement(modelId, inOrder(files))];
    const [lone, ...others] = files;
    // A manifest does not tell a file from a directory with one file.
    if (lone && others.length === 0) allowed.push(await statement(modelId, [{ ...lone, path: "." }]));
    if (!allowed.some((each) => same(each, payload)))
        throw new NotVerified("it signs other files than the manifest lists, or another manifest");
    // DSSE version 1, section "Signature Definition".
    const head = utf8(`DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${payload.length} `);
    if (!(await verifyP256(spki, joined(head, payload), signature)))
        throw new NotVerified("the signature does not hold");
}

function readSignature(data: Bytes): { key: string; payload: Bytes; signature: Bytes } {
    const what = "model.sig";
    const bundle = fields(read(data, what), what, ["mediaType", "verificationMaterial", "dsseEnvelope"]);
    const material = fields(bundle.verificationMaterial, what, ["publicKey", "tlogEntries"]);
    const envelope = fields(bundle.dsseEnvelope, what, ["payload", "payloadType", "signatures"]);
    const signatures = list(envelope.signatures, what);
    if (signatures.length !== 1 || envelope.payloadType !== PAYLOAD_TYPE)
        throw new NotVerified(`${what} is not one signature of an in-toto statement`);
    return {
        key: text(fields(material.publicKey, what, ["hint"]).hint, what),
        payload: fromBase64(envelope.payload, what),
        signature: fromBase64(fields(signatures[0], what, ["sig", "keyid"]).sig, what),
    };
}

/** The in-toto statement about files; the format's digest of a model is over its files' raw digests. */
async function statement(modelId: string, files: File[]): Promise<Bytes> {
    const root = await digest(joined(...files.map((file) => fromHex(file.sha256))));
    const value: Json = {
        _type: "https://in-toto.io/Statement/v1",
        subject: [{ name: modelId, digest: { sha256: root } }],
        predicateType: "https://model_signing/signature/v1.0",
        predicate: {
            serialization: { method: "files", hash_type: "sha256", allow_symlinks: false },
            resources: files.map((file) => ({ name: file.path, algorithm: "sha256", digest: file.sha256 })),
        },
    };
    return utf8(canonical(value));
}

/** The format's order: by the parts of paths, each by its code points. */
function inOrder(files: File[]): File[] {
    const key = (file: File) =>
        file.path.split("/").map((part) => Array.from(part, (letter) => letter.codePointAt(0) ?? 0));
    return files
        .map((file) => ({ file, parts: key(file) }))
        .sort((left, right) => compare(left.parts, right.parts, (a, b) => compare(a, b, (x, y) => x - y)))
        .map(({ file }) => file);
}

function compare<T>(left: T[], right: T[], each: (a: T, b: T) => number): number {
    for (let at = 0; at < Math.min(left.length, right.length); at += 1) {
        const order = each(left[at] as T, right[at] as T);
        if (order !== 0) return order;
    }
    return left.length - right.length;
}
