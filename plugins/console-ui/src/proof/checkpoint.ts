// Checkpoints: C2SP tlog-checkpoints of three lines in a C2SP signed note.
import { type Bytes, fromBase64, hex, NotVerified, utf8 } from "./bytes";
import { type CheckpointKey, verifyEd25519 } from "./keys";
import { HASH_SIZE } from "./merkle";

export interface Checkpoint {
    origin: string;
    /** How many entries the ledger had. */
    size: number;
    root: Bytes;
}

interface SignedNote {
    text: string;
    signatures: string[];
}

/** Reads what a note says, unchecked; throws NotVerified if it is malformed. */
export function readCheckpoint(note: string): Checkpoint {
    const lines = readNote(note).text.split("\n");
    const [origin = "", size = "", root = ""] = lines;
    const number = Number(size);
    if (
        lines.length !== 4 ||
        lines[3] !== "" ||
        !origin ||
        !/^(0|[1-9]\d*)$/u.test(size) ||
        !Number.isSafeInteger(number)
    )
        throw new NotVerified("the checkpoint does not have the three lines origin, size and root");
    const data = fromBase64(root, "the checkpoint's root");
    if (data.length !== HASH_SIZE) throw new NotVerified("the checkpoint's root is not 32 bytes");
    return { origin, size: number, root: data };
}

/** Whether this key and nobody else signed a note; throws NotVerified with what is wrong. */
export async function checkSignatures(note: string, key: CheckpointKey): Promise<void> {
    const { text, signatures } = readNote(note);
    for (const line of signatures) {
        const [, name, encoded] = /^— (\S+) (\S+)$/u.exec(line) ?? [];
        if (name === undefined) throw new NotVerified("a signature line of the checkpoint is malformed");
        const data = fromBase64(encoded, "the checkpoint's signature");
        if (name !== key.name || hex(data.slice(0, 4)) !== key.id)
            throw new NotVerified(`the checkpoint is signed by ${name}, which is not the key of the bundle`);
        if (!(await verifyEd25519(key.raw, utf8(text), data.slice(4))))
            throw new NotVerified(`the signature by ${name} does not hold`);
    }
}

function readNote(note: string): SignedNote {
    const end = note.lastIndexOf("\n\n");
    const signatures = note.slice(end + 2).split("\n");
    // The format forbids every control character but the newline.
    if (
        end < 1 ||
        signatures.length < 2 ||
        signatures.pop() !== "" ||
        /[\u0000-\u0009\u000b-\u001f]/u.test(note)
    )
        throw new NotVerified("the checkpoint is not a text, an empty line and signature lines");
    return { text: note.slice(0, end + 1), signatures };
}
