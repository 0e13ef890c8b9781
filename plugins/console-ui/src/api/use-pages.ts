// A list that is asked for page by page and grows.
import { useState } from "react";

import { ApiError, ask, query } from "./client";
import { type Resource, useResource } from "./use-resource";

interface Paged<Answer, Row> {
    first: Resource<Answer>;
    rows: Row[];
    more: (() => void) | undefined;
    error: ApiError | undefined;
}

/** The rows of an address's pages so far; `more` asks for the next page, if there is one. */
export function usePages<Answer extends { next: string | null }, Row>(
    url: string,
    rowsOf: (answer: Answer) => Row[],
): Paged<Answer, Row> {
    const first = useResource<Answer>(url);
    const [later, setLater] = useState<{ url: string; pages: Answer[]; error?: ApiError }>({
        url,
        pages: [],
    });
    const pages = later.url === url ? later.pages : [];
    const last = pages.at(-1) ?? first.data;
    const next = last?.next ?? null;
    const more = () => {
        ask<Answer>(query(url, { cursor: next })).then(
            (page) => {
                setLater({ url, pages: [...pages, page] });
            },
            (error: unknown) => {
                setLater({
                    url,
                    pages,
                    error: error instanceof ApiError ? error : new ApiError(0, String(error)),
                });
            },
        );
    };
    return {
        first,
        rows: [first.data, ...pages].filter((page) => page !== undefined).flatMap(rowsOf),
        more: next === null ? undefined : more,
        error: later.error,
    };
}
