// dompurify 3.5.0, (MPL-2.0 OR Apache-2.0)
export { default } from "dompurify";
