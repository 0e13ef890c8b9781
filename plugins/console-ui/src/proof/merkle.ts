// The Merkle tree of RFC 9162 section 2.1 with SHA-256; all hashes are 32 bytes.
import { type Bytes, joined, NotVerified, sha256 } from "./bytes";

export const HASH_SIZE = 32;
const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** Section 2.1.1: SHA-256(0x00 || data). */
export function leafHash(data: Bytes): Promise<Bytes> {
    return sha256(joined(LEAF, data));
}

function nodeHash(left: Bytes, right: Bytes): Promise<Bytes> {
    return sha256(joined(NODE, left, right));
}

/** Section 2.1.3.2: the root that an inclusion proof leads to; throws NotVerified if it has the wrong length. */
export async function rootFromInclusion(
    index: number,
    size: number,
    leaf: Bytes,
    proof: readonly Bytes[],
): Promise<Bytes> {
    const where = `the inclusion proof for leaf ${index} of ${size}`;
    if (index >= size) throw new NotVerified(`${where} is for a leaf that the tree does not have`);
    // Sizes of ledgers may exceed what JavaScript's bit operators take, which is 32 bits.
    let place = BigInt(index);
    let last = BigInt(size - 1);
    let root = leaf;
    for (const step of proof) {
        if (last === 0n) throw new NotVerified(`${where} is too long`);
        if (place & 1n || place === last) {
            root = await nodeHash(step, root);
            while (!(place & 1n) && place !== 0n) {
                place >>= 1n;
                last >>= 1n;
            }
        } else {
            root = await nodeHash(root, step);
        }
        place >>= 1n;
        last >>= 1n;
    }
    if (last !== 0n) throw new NotVerified(`${where} is too short`);
    return root;
}

/** The root of all leaves, section 2.1.1: pairs from left to right, a lone one goes up as it is. */
export async function rootOf(leaves: readonly Bytes[]): Promise<Bytes> {
    let level = [...leaves];
    while (level.length > 1) {
        const above: Promise<Bytes>[] = [];
        for (let at = 0; at < level.length; at += 2) {
            const [left, right] = level.slice(at, at + 2) as [Bytes, Bytes | undefined];
            above.push(right === undefined ? Promise.resolve(left) : nodeHash(left, right));
        }
        level = await Promise.all(above);
    }
    return level[0] ?? sha256(new Uint8Array());
}
