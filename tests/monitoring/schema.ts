// The dashboard in Grafana's own types. The test writes it below, whole and the options of its panels, and has tsc look.
import type { Dashboard, GraphFieldConfig } from "@grafana/schema";
import type { Options as Stat } from "@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen";
import type { Options as TimeSeries } from "@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen";

/** What JSON has of T: the words of an enumeration as text. Whatever is not there has a default. */
type Written<T> = T extends string ? `${T}` : T extends Array<infer U> ? Array<Written<U>>
    : T extends object ? { [K in keyof T]: Written<T[K]> } : T;
type Partly<T> = Written<{ [K in keyof T]?: T[K] extends object | undefined ? Partial<T[K]> : T[K] }>;

type Whole = Written<Dashboard>;
type Curves = Array<{ options: Partly<TimeSeries>; custom: Partly<GraphFieldConfig> }>;
type Stats = Array<{ options: Partly<Stat>; custom: Record<string, never> }>;
