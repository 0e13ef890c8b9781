// What the console's API answers, see docs/openapi.json.

export interface Version {
    version: number;
    as_of: string | null;
    model_id: string;
}

export interface Run {
    dag_id: string;
    run_id: string;
    url: string;
}

export interface Me {
    user: string;
    roles: string[];
    may_decide: boolean;
}

export interface Model {
    name: string;
    risk_tier: number | null;
    owner: string | null;
    purpose: string | null;
    latest: Version & { registered_at: string | null; run: Run | null };
    champion:
        | (Version & {
              since: string;
              age_days: number | null;
              deadline_days: number | null;
              overdue: boolean;
          })
        | null;
    challenger: Version | null;
    halted: string | null;
    drift: { status: "ok" | "breach"; at: string; as_of: string | null; report: string | null } | null;
    verified: { status: "verified" | "failed"; at: string; problems: string[] } | null;
    problems: string[];
}

export interface Models {
    models: Model[];
    next: string | null;
    total: number;
}

export interface VersionRow extends Version {
    registered_at: string | null;
    gates: "passed" | "failed" | "unevaluated";
    state: Standing | null;
    metrics: Record<string, number>;
    problem: string | null;
}

export type Standing = "champion" | "challenger" | "retired" | "rejected" | "former champion";

export interface Versions {
    versions: VersionRow[];
    next: string | null;
}

export interface Point {
    version: number;
    as_of: string | null;
    values: Record<string, number>;
    baselines: Record<string, Record<string, number>>;
}

export interface ChampionPeriod {
    version: number;
    since: string;
    until: string | null;
    as_of: string | null;
}

export interface History {
    metrics: string[];
    points: Point[];
    champions: ChampionPeriod[];
    next: string | null;
}

export interface Happening {
    index: number;
    kind: string;
    at: string;
    actor: string | null;
    version: number | null;
    summary: string;
    reason: string | null;
}

export interface Timeline {
    events: Happening[];
    next: string | null;
}

export type Command = "approve" | "reject" | "promote" | "rollback" | "retire" | "halt" | "resume";

export interface OfferedAction {
    action: Command;
    roles: string[];
    allowed: boolean;
    why_not: string | null;
}

export interface Attachment {
    name: string;
    media_type: string;
    size: number;
    sha256: string;
}

export interface Gate {
    gate: string;
    outcome: "passed" | "failed" | "unevaluated";
    figures: Record<string, number>;
    reason: string;
}

export interface VersionDetail extends Version {
    reference: string;
    name: string;
    recipe: string | null;
    artifact_digest: string;
    index: number;
    signed: boolean;
    registered_at: string | null;
    supersedes: number | null;
    retrain_reason: string | null;
    metadata: Record<string, unknown> | null;
    lineage: Record<string, unknown> | null;
    files: { path: string; size: number; sha256: string }[];
    gates: Gate[];
    attachments: Attachment[];
    provenance: Record<string, string>;
    state: Standing | null;
    evidence: string | null;
    incumbent: number | null;
    links: {
        run: Run | null;
        tracking: string | null;
        validation_report: string | null;
        snapshot: string | null;
    };
    actions: OfferedAction[];
    problems: string[];
}

export interface Verification {
    verified: boolean;
    pending: boolean;
    checked: { what: string; ok: boolean; detail: string }[];
    problems: { object: string; problem: string }[];
}

export interface Difference {
    name: string;
    left: unknown;
    right: unknown;
}

export interface Comparison {
    left: Version;
    right: Version;
    metrics: Difference[];
    parameters: Difference[];
    features: Difference[];
    data: Difference[];
    code: Difference[];
}

export interface RunResults {
    versions: {
        name: string;
        version: number | null;
        outcome: "registered" | "not_reproduced" | "refused";
        reasons: string[];
    }[];
    failure: { task: string; sentence: string } | null;
}

export interface DecisionOutcome {
    outcome: "done" | "already" | "refused";
    reasons: string[];
    events: { kind: string }[];
}
