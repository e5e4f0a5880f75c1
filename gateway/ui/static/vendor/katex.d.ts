// katex 0.19.1, MIT
export { default } from "katex";
