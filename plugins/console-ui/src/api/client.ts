// Requests to the console's API, by the session of the signed-in user.

/** An answer that is a problem (RFC 9457), or no answer at all (status 0). */
export class ApiError extends Error {
    constructor(
        readonly status: number,
        message: string,
    ) {
        super(message);
    }
}

/** The address of something the project serves, below Airflow's base URL. */
export function address(path: string): string {
    return new URL(`veritas/${path}`, document.baseURI).href;
}

/** An address of the API from the parts of its path, each of which is encoded. */
export function api(...parts: (string | number)[]): string {
    return address(["api/v1", ...parts.map((part) => encodeURIComponent(part))].join("/"));
}

/** An address with those parameters that have a value. */
export function query(url: string, parameters: Record<string, string | null | undefined>): string {
    const found = new URL(url);
    for (const [name, value] of Object.entries(parameters)) {
        if (value) found.searchParams.set(name, value);
    }
    return found.href;
}

/** Asks for JSON; throws ApiError with the server's sentence for every other answer. */
export async function ask<T>(url: string, request: RequestInit = {}): Promise<T> {
    return (await (await answer(url, request)).json()) as T;
}

/** Asks for bytes that no cache may hold; throws ApiError. */
export async function askBytes(url: string): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(await (await answer(url, { cache: "no-store" })).arrayBuffer());
}

export async function post<T>(url: string, body: unknown): Promise<T> {
    return ask<T>(url, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
    });
}

async function answer(url: string, request: RequestInit): Promise<Response> {
    let response: Response;
    try {
        response = await fetch(url, { credentials: "same-origin", ...request });
    } catch (error) {
        if (error instanceof DOMException && error.name === "AbortError") throw error;
        throw new ApiError(
            0,
            "The server does not answer: look whether Airflow's API server runs, and try again.",
        );
    }
    if (!response.ok) throw new ApiError(response.status, await sentence(response));
    return response;
}

async function sentence(response: Response): Promise<string> {
    if (response.status === 401) return "You are not signed in any more: sign in again.";
    try {
        const problem = (await response.json()) as { detail?: unknown; title?: unknown };
        if (typeof problem.detail === "string") return problem.detail;
        if (typeof problem.title === "string") return problem.title;
    } catch {
        // Not JSON: a proxy's page, for one.
    }
    return `The server answered ${response.status}.`;
}
