// Names for what the console's API answers; `npm run types` makes the schema of docs/openapi.json.
import { type components } from "./schema";

type Schemas = components["schemas"];

export type ChampionPeriod = Schemas["ChampionPeriod"];
export type Comparison = Schemas["ComparisonAnswer"];
export type DecisionOutcome = Schemas["OutcomeAnswer"];
export type Difference = Schemas["Difference"];
export type Gate = Schemas["Gate"];
export type Happening = Schemas["Happening"];
export type History = Schemas["HistoryAnswer"];
export type Model = Schemas["Model"];
export type Models = Schemas["Models"];
export type OfferedAction = Schemas["OfferedAction"];
export type Command = OfferedAction["action"];
export type Point = Schemas["Point"];
export type RunResults = Schemas["RunAnswer"];
export type Timeline = Schemas["TimelineAnswer"];
export type Verification = Schemas["VerificationAnswer"];
export type VersionDetail = Schemas["VersionAnswer"];
export type VersionRow = Schemas["VersionRowAnswer"];
export type Standing = NonNullable<VersionRow["state"]>;
export type Versions = Schemas["Versions"];
