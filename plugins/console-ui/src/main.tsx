// What Airflow shows for the console: its pages from the navigation, or a tab of a DAG run.
import { type FC } from "react";

import { ComparePage } from "./pages/compare";
import { DecidePage } from "./pages/decide";
import { ModelPage } from "./pages/model";
import { ModelsPage } from "./pages/models";
import { RunTab } from "./pages/run";
import { VersionPage } from "./pages/version";
import { Frame } from "./parts/frame";
import { Problem } from "./parts/states";
import { usePage } from "./routes";

/** What Airflow tells of where the console is shown; both only in a tab of a DAG run. */
interface Place {
    dagId?: string;
    runId?: string;
}

const Console: FC<Place> = ({ dagId, runId }) => {
    const place = usePage();
    if (dagId !== undefined && runId !== undefined) return <RunTab dagId={dagId} runId={runId} />;
    switch (place.page) {
        case "models":
            return <ModelsPage />;
        case "model":
            return <ModelPage name={place.name} />;
        case "compare":
            return <ComparePage name={place.name} />;
        case "version":
            return <VersionPage name={place.name} version={place.version} />;
        case "decide":
            return <DecidePage name={place.name} version={place.version} />;
        case "unknown":
            return (
                <Frame title="Not found">
                    <Problem sentence="There is no such page: begin at Models." />
                </Frame>
            );
    }
};

export default Console;
