// What Airflow shows for the console: its pages from the navigation, or a tab of a DAG run.
import { type FC } from "react";

import { usePage } from "./routes";
import { ModelsPage } from "./pages/models";
import { Frame } from "./parts/frame";
import { Problem } from "./parts/states";

interface Place {
    dagId?: string;
    runId?: string;
}

const Console: FC<Place> = () => {
    const place = usePage();
    switch (place.page) {
        case "models":
            return <ModelsPage />;
        default:
            return (
                <Frame title="Not found">
                    <Problem sentence="There is no such page: begin at Models." />
                </Frame>
            );
    }
};

export default Console;
