/** The search in all conversations: it sets `matches`. */

export function Search() {
  return null;
}
