// @highlightjs/cdn-assets 11.12.0, BSD-3-Clause
interface Highlighted { value: string; language?: string }
declare const core: {
getLanguage(name: string): object | undefined;
highlight(code: string, options: { language: string; ignoreIllegals?: boolean }): Highlighted;
};
export default core;
