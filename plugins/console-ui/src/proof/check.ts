// Checking a proof bundle in the browser, by what docs/formats.md says makes a bundle consistent.
import { base64, type Bytes, digest, fromBase64, hex, NotVerified, same, utf8 } from "./bytes";
import { type Bundle, type Entry, readBundle, readEvent, type Recorded } from "./bundle";
import { canonical, fields, type Json, list, object, read, text, whole } from "./canonical";
import { type Checkpoint, checkSignatures, readCheckpoint } from "./checkpoint";
import { ed25519Spki, fingerprint, knowsEd25519, readVkey } from "./keys";
import { leafHash, rootFromInclusion, rootOf } from "./merkle";
import { checkModelSignature, type File, signer } from "./signature";

/** One thing that was checked, with the figures somebody can compare. */
export interface Step {
    title: string;
    outcome: "holds" | "fails" | "unchecked";
    /** Why it fails or was not checked. */
    problem?: string;
    figures: [name: string, value: string][];
}

export interface Subject {
    name: string;
    version: number;
    modelId: string;
}

/** Checks a bundle step by step; what does not hold is a step that fails, never an exception. */
export async function* check(data: Bytes, subject: Subject): AsyncGenerator<Step, void> {
    let bundle: Bundle;
    try {
        bundle = readBundle(data);
        require(bundle.name === subject.name &&
            bundle.version === subject.version, `it is about ${bundle.name}@${bundle.version}`);
        yield {
            title: "The proof is about this version",
            outcome: "holds",
            figures: [["size", `${data.length} bytes`]],
        };
    } catch (error) {
        yield failed("The proof is about this version", error);
        return;
    }
    const parts: [string, (bundle: Bundle, subject: Subject) => Promise<Step["figures"]>][] = [
        ["The checkpoint of the ledger is signed", signedCheckpoint],
        ["The entries are in the signed ledger", inclusion],
        ["The keys were introduced and not revoked", keysInOrder],
        ["The model id is the digest of the manifest", manifestDigest],
        ["The attachments are those of the registration", attachments],
        ["The artifact is signed", artifactSignature],
    ];
    for (const [title, part] of parts) {
        try {
            yield { title, outcome: "holds", figures: await part(bundle, subject) };
        } catch (error) {
            yield failed(title, error);
        }
    }
}

/** The files that the manifest of a bundle lists. */
export function filesOf(data: Bytes): File[] {
    return readManifest(readBundle(data).manifest).files;
}

/** What the browser cannot check, which is not a failure of what is checked. */
class Unchecked extends Error {}

function failed(title: string, error: unknown): Step {
    const problem = error instanceof Error ? error.message : String(error);
    return { title, outcome: error instanceof Unchecked ? "unchecked" : "fails", problem, figures: [] };
}

function require(condition: boolean, problem: string): asserts condition {
    if (!condition) throw new NotVerified(problem);
}

async function signedCheckpoint(bundle: Bundle): Promise<Step["figures"]> {
    const key = await readVkey(bundle.key);
    const head = readCheckpoint(bundle.checkpoint);
    if (!(await knowsEd25519()))
        throw new Unchecked("this browser cannot check Ed25519 signatures: use a newer one");
    await checkSignatures(bundle.checkpoint, key);
    return [
        ["ledger", head.origin],
        ["entries", String(head.size)],
        ["root", base64(head.root)],
        ["key", await fingerprint(ed25519Spki(key.raw))],
    ];
}

async function inclusion(bundle: Bundle): Promise<Step["figures"]> {
    const head = readCheckpoint(bundle.checkpoint);
    if (bundle.scope === "full") await checkAll(bundle, head);
    else for (const entry of bundle.entries) await checkIncluded(entry, head);
    const registration = bundle.entries.find((entry) => entry.index === bundle.index);
    require(registration !==
        undefined, `entry ${bundle.index}, which registers the version, is not in the proof`);
    return [
        ["entries", bundle.entries.map((entry) => entry.index).join(", ")],
        [`leaf hash of entry ${bundle.index}`, hex(await leafHash(registration.data))],
        ["hashes from there to the root", String(registration.proof.length)],
    ];
}

async function checkIncluded(entry: Entry, head: Checkpoint): Promise<void> {
    const root = await rootFromInclusion(entry.index, head.size, await leafHash(entry.data), entry.proof);
    require(same(
        root,
        head.root,
    ), `ledger entry ${entry.index} is not under the root of the checkpoint: entry, place or proof was changed`);
}

async function checkAll({ entries }: Bundle, head: Checkpoint): Promise<void> {
    entries.forEach((entry, place) => {
        require(entry.index === place, `ledger entry ${place} is missing, a full proof has every entry`);
        require(entry.proof.length ===
            0, `ledger entry ${place} has an inclusion proof, which a full proof does not need`);
    });
    require(entries.length ===
        head.size, `there are ${entries.length} entries, the checkpoint was signed at ${head.size}`);
    const root = await rootOf(await Promise.all(entries.map((entry) => leafHash(entry.data))));
    require(same(root, head.root), "the entries do not give the root of the checkpoint");
}

interface KnownKey {
    role: string;
    spki: Bytes;
    introduced: number;
    revoked: number;
}

async function keyRing(events: Recorded[]): Promise<Map<string, KnownKey>> {
    const ring = new Map<string, KnownKey>();
    const about = events.filter(({ kind }) => kind === "KeyIntroduced" || kind === "KeyRevoked");
    for (const [expected, { index, kind, event }] of about.entries()) {
        const what = `ledger entry ${index}`;
        require(event.sequence === expected, `${what} is not event ${expected} about keys`);
        const named = text(event.fingerprint, what);
        const known = ring.get(named);
        if (kind === "KeyIntroduced") {
            const spki = fromBase64(event.public_key, `${what}'s public key`);
            require((await fingerprint(spki)) === named, `${what} names another key than it introduces`);
            if (!known)
                ring.set(named, { role: text(event.role, what), spki, introduced: index, revoked: Infinity });
        } else {
            require(known !== undefined, `${what} revokes a key that was never introduced`);
            known.revoked = Math.min(known.revoked, index);
        }
    }
    return ring;
}

async function keysInOrder(bundle: Bundle): Promise<Step["figures"]> {
    const ring = await keyRing(bundle.entries.map(readEvent));
    const key = await fingerprint(ed25519Spki((await readVkey(bundle.key)).raw));
    const revoked = ring.get(key)?.revoked ?? Infinity;
    require(revoked >=
        readCheckpoint(bundle.checkpoint)
            .size, `the checkpoint's key ${key} is revoked since ledger entry ${revoked}`);
    return [["keys", String(ring.size)]];
}

function registration(bundle: Bundle) {
    const found = bundle.entries.map(readEvent).find((recorded) => recorded.index === bundle.index);
    const subject = `${bundle.name}@${bundle.version}`;
    require(found?.kind === "ModelRegistered", `no ledger entry ${bundle.index} registers ${subject}`);
    const { event } = found;
    require(event.name === bundle.name &&
        event.version ===
            bundle.version, `ledger entry ${bundle.index} registers another version than ${subject}`);
    return event;
}

async function manifestDigest(bundle: Bundle, subject: Subject): Promise<Step["figures"]> {
    const event = registration(bundle);
    const modelId = await digest(bundle.manifest);
    require(modelId === event.model_id, `the manifest's SHA-256 is ${modelId}, the ledger's model id is not`);
    require(modelId ===
        subject.modelId, `the ledger registers ${modelId}, this page shows ${subject.modelId}`);
    const manifest = readManifest(bundle.manifest);
    const recipe = manifest.lineage === null ? null : await ofValue(manifest.lineage);
    require(manifest.name === event.name &&
        recipe === event.recipe &&
        (await ofValue(manifest.artifact)) ===
            event.artifact_digest, "name, recipe or artifact digest differ from the registration's");
    return [
        ["model id", modelId],
        ["recipe", recipe ?? "none, it was trained elsewhere"],
        ["artifact digest", text(event.artifact_digest, "the artifact digest")],
    ];
}

async function attachments(bundle: Bundle): Promise<Step["figures"]> {
    const unnamed = new Set(bundle.attachments.keys());
    for (const { name, size, sha256 } of attachmentsOf(bundle)) {
        const content = bundle.attachments.get(sha256);
        unnamed.delete(sha256);
        require(content !== undefined, `attachment ${name} is missing`);
        require(content.length === size &&
            (await digest(content)) ===
                sha256, `attachment ${name}: its bytes are not those that the ledger names`);
    }
    const later = bundle.entries.map(readEvent).filter(({ index, kind, event }) => {
        const about = event.name === bundle.name && event.version === bundle.version;
        return index > bundle.index && kind === "ModelEvaluated" && about;
    });
    for (const { event } of later) {
        const evidence = text(event.evidence, "the evidence");
        const content = bundle.attachments.get(evidence);
        unnamed.delete(evidence);
        require(content !== undefined &&
            (await digest(content)) ===
                evidence, `evidence ${evidence} is missing, or its bytes are not those that the ledger names`);
    }
    require(unnamed.size === 0, `no ledger entry names the attachment ${[...unnamed].join(", ")}`);
    return [["attachments", String(bundle.attachments.size)]];
}

async function artifactSignature(bundle: Bundle): Promise<Step["figures"]> {
    const named = object(registration(bundle).provenance, "the provenance").signing_key;
    const kept = attachmentsOf(bundle).find(({ name }) => name === "model.sig");
    if (kept === undefined) {
        require(named === undefined, "there is no signature by the key that the ledger names");
        throw new Unchecked("nobody signed it, its ledger began before artifacts were signed");
    }
    const signature = bundle.attachments.get(kept.sha256);
    require(signature !== undefined, "the signature is missing");
    const key = signer(signature);
    require(key === named, `the signature names the key ${key}, the ledger does not`);
    const known = (await keyRing(bundle.entries.map(readEvent))).get(key);
    require(known?.role === "artifact" &&
        known.introduced <
            bundle.index, `the ledger did not know the key ${key} before entry ${bundle.index}`);
    require(known.revoked >= bundle.index, `the key ${key} is revoked since ledger entry ${known.revoked}`);
    const { files } = readManifest(bundle.manifest);
    await checkModelSignature(signature, await digest(bundle.manifest), files, known.spki);
    return [
        ["key", key],
        ["files", String(files.length)],
    ];
}

function attachmentsOf(bundle: Bundle): { name: string; size: number; sha256: string }[] {
    return list(registration(bundle).attachments, "the attachments").map((each) => {
        const found = fields(each, "an attachment", ["name", "media_type", "size", "sha256"]);
        const sha256 = text(found.sha256, "a digest");
        return { name: text(found.name, "a name"), size: whole(found.size, "a size"), sha256 };
    });
}

function readManifest(data: Bytes): { name: Json; lineage: Json; artifact: Json; files: File[] } {
    const found = fields(read(data, "the manifest"), "the manifest", [
        "format",
        "metadata",
        "lineage",
        "artifact",
    ]);
    require(found.format === "veritasvault/manifest/v1", "the manifest is of an unknown format");
    const files = list(found.artifact, "the artifact").map((each) => {
        const file = fields(each, "a file", ["path", "size", "sha256"]);
        return {
            path: text(file.path, "a path"),
            size: whole(file.size, "a size"),
            sha256: text(file.sha256, "a digest"),
        };
    });
    const name = object(found.metadata, "the metadata").name ?? null;
    return { name, lineage: found.lineage, artifact: found.artifact, files };
}

function ofValue(value: Json): Promise<string> {
    return digest(utf8(canonical(value)));
}
