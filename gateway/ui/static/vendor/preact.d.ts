// preact 11.2.0, MIT; htm 3.1.1, Apache-2.0; @preact/signals 2.11.4, MIT; @preact/signals-core 1.14.5, MIT
export * from "preact"; export * from "preact/hooks"; export * from "@preact/signals";
import { VNode } from "preact"; export function html(strings: TemplateStringsArray, ...values: unknown[]): VNode;
