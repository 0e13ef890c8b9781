// Standing, tier and gates, each a word in the colour that goes with it.
import { Badge } from "@chakra-ui/react";

import { type Standing } from "../api/types";

const TIERS: Record<number, string> = { 1: "1 high", 2: "2 medium", 3: "3 low" };

const STANDINGS: Record<Standing, string> = {
    champion: "green",
    challenger: "blue",
    "former champion": "gray",
    rejected: "red",
    retired: "gray",
};

const OUTCOMES = { passed: "green", failed: "red", unevaluated: "gray" };

export function StandingBadge({ standing }: { standing: Standing | null }) {
    return standing && <Badge colorPalette={STANDINGS[standing]}>{standing}</Badge>;
}

export function TierBadge({ tier }: { tier: number | null }) {
    return <Badge>{tier === null ? "unknown" : (TIERS[tier] ?? tier)}</Badge>;
}

export function GatesBadge({ outcome }: { outcome: keyof typeof OUTCOMES }) {
    return <Badge colorPalette={OUTCOMES[outcome]}>{outcome}</Badge>;
}
