// What a page shows of one address: not there yet, there, or why not.
import { useCallback, useEffect, useState } from "react";

import { ApiError, ask } from "./client";

export interface Resource<T> {
    data: T | undefined;
    error: ApiError | undefined;
    reload: () => void;
}

interface Answer<T> {
    url: string | null;
    data?: T;
    error?: ApiError;
}

/** Asks an address whenever it changes; what was there before stays until the next answer. Null asks nothing. */
export function useResource<T>(url: string | null): Resource<T> {
    const [answer, setAnswer] = useState<Answer<T>>({ url: null });
    const [round, setRound] = useState(0);
    useEffect(() => {
        if (url === null) return undefined;
        const stopping = new AbortController();
        ask<T>(url, { signal: stopping.signal }).then(
            (data) => {
                if (!stopping.signal.aborted) setAnswer({ url, data });
            },
            (error: unknown) => {
                if (!stopping.signal.aborted)
                    setAnswer({
                        url,
                        error: error instanceof ApiError ? error : new ApiError(0, String(error)),
                    });
            },
        );
        return () => {
            stopping.abort();
        };
    }, [url, round]);
    const reload = useCallback(() => {
        setRound((before) => before + 1);
    }, []);
    return { data: answer.data, error: answer.error, reload };
}
