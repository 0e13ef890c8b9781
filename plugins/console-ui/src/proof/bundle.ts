// Reading proof bundles, docs/formats.md `veritasvault/proof/v1`; nothing of it is checked yet.
import { type Bytes, fromBase64, NotVerified, utf8 } from "./bytes";
import { fields, type Json, type JsonObject, list, object, read, text, whole } from "./canonical";
import { HASH_SIZE } from "./merkle";

export interface Entry {
    index: number;
    data: Bytes;
    proof: Bytes[];
}

export interface Bundle {
    name: string;
    version: number;
    /** The entry that registers the version. */
    index: number;
    scope: "version" | "full";
    key: string;
    checkpoint: string;
    entries: Entry[];
    manifest: Bytes;
    attachments: Map<string, Bytes>;
}

export interface Recorded {
    index: number;
    kind: string;
    event: JsonObject;
}

/** Throws NotVerified unless it is a bundle, spelt in the one way there is. */
export function readBundle(data: Bytes): Bundle {
    const found = fields(read(data, "the bundle"), "the bundle", [
        "format",
        "subject",
        "scope",
        "key",
        "checkpoint",
        "entries",
        "manifest",
        "attachments",
    ]);
    if (found.format !== "veritasvault/proof/v1") throw new NotVerified("the bundle is of an unknown format");
    if (found.scope !== "version" && found.scope !== "full")
        throw new NotVerified("the bundle's scope is unknown");
    const subject = fields(found.subject, "the subject", ["name", "version", "index"]);
    const entries = list(found.entries, "the entries").map(readEntry);
    if (entries.some((entry, at) => at > 0 && entry.index <= (entries[at - 1] as Entry).index))
        throw new NotVerified("the entries are not in the order of the ledger, each once");
    return {
        name: text(subject.name, "the subject's name"),
        version: whole(subject.version, "the subject's version"),
        index: whole(subject.index, "the subject's index"),
        scope: found.scope,
        key: text(found.key, "the key"),
        checkpoint: text(found.checkpoint, "the checkpoint"),
        entries,
        manifest: utf8(text(found.manifest, "the manifest")),
        attachments: new Map(
            Object.entries(object(found.attachments, "the attachments")).map(([sha256, content]) => [
                sha256,
                fromBase64(content, `attachment ${sha256}`),
            ]),
        ),
    };
}

/** Reads the event of an entry, `veritasvault/event/v1`. */
export function readEvent(entry: Entry): Recorded {
    const what = `ledger entry ${entry.index}`;
    const found = fields(read(entry.data, what), what, ["format", "kind", "event"]);
    if (found.format !== "veritasvault/event/v1") throw new NotVerified(`${what} is of an unknown format`);
    return { index: entry.index, kind: text(found.kind, `${what}'s kind`), event: object(found.event, what) };
}

function readEntry(value: Json): Entry {
    const found = fields(value, "an entry", ["index", "entry", "proof"]);
    const index = whole(found.index, "an entry's index");
    const proof = list(found.proof, `the proof of entry ${index}`).map((step) =>
        fromBase64(step, `the proof of entry ${index}`),
    );
    if (proof.some((step) => step.length !== HASH_SIZE))
        throw new NotVerified(`the proof of entry ${index} is not of hashes`);
    return { index, data: utf8(text(found.entry, `entry ${index}`)), proof };
}
