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
    risk_tier: number;
    owner: string;
    purpose: string;
    latest: Version & { registered_at: string; run: Run | null };
    champion:
        | (Version & { since: string; age_days: number; deadline_days: number | null; overdue: boolean })
        | null;
    challenger: Version | null;
    halted: string | null;
    drift: { status: "ok" | "breach"; at: string; as_of: string | null; report: string | null } | null;
    verified: { status: "verified" | "failed"; at: string; problems: string[] } | null;
}

export interface Models {
    models: Model[];
    next: string | null;
    total: number;
}
