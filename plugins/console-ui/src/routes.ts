// The console's pages and their addresses, below Airflow's own.
import { useParams } from "react-router-dom";

const ROOT = "/plugin/veritas";

export const to = {
    models: () => ROOT,
    model: (name: string) => `${ROOT}/models/${encodeURIComponent(name)}`,
    version: (name: string, version: number) => `${to.model(name)}/versions/${version}`,
    decide: (name: string, version: number) => `${to.version(name, version)}/decide`,
    compare: (name: string, left: number, right: number) =>
        `${to.model(name)}/compare?left=${left}&right=${right}`,
    /** A page of Airflow's own, whose path is relative to the base URL. */
    airflow: (path: string) => `/${path.replace(/^\//u, "")}`,
};

export type Page =
    | { page: "models" }
    | { page: "model" | "compare"; name: string }
    | { page: "version" | "decide"; name: string; version: number }
    | { page: "unknown" };

/** Which page an address behind `plugin/veritas/` is. */
export function pageOf(path: string): Page {
    const [models, name, part, number, last, ...rest] = path.split("/").filter(Boolean);
    if (models === undefined) return { page: "models" };
    if (models !== "models" || !name || rest.length > 0) return { page: "unknown" };
    if (part === undefined) return { page: "model", name };
    if (part === "compare" && number === undefined) return { page: "compare", name };
    if (part !== "versions" || !/^[1-9]\d*$/u.test(number ?? "")) return { page: "unknown" };
    if (last === undefined) return { page: "version", name, version: Number(number) };
    return last === "decide" ? { page: "decide", name, version: Number(number) } : { page: "unknown" };
}

export function usePage(): Page {
    return pageOf(useParams()["*"] ?? "");
}
