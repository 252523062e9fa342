// What needs the token to be read, and is asked for without insisting: a note, and a button that asks for the token.
import { at, say } from "./dom.js"
import { call, TokenNeeded } from "./server.js"

// show: gets the answer, and says what there is to note of it. The note and the button are `<name>-note`, `<name>-unlock`.
export function locked(name, path, show) {
  let asked = 0

  async function look(ask = false) {
    const number = ++asked
    let text = "", lacking = false
    try {
      const answer = await call("GET", path, undefined, { ask })
      if (number !== asked) return // a later question has the newer answer
      text = show(answer)
    } catch (error) {
      lacking = error instanceof TokenNeeded
      if (lacking) show(null)
      text = error.message
    }
    say(at(`${name}-note`), text)
    at(`${name}-note`).hidden = !text
    at(`${name}-unlock`).hidden = !lacking
  }

  at(`${name}-unlock`).onclick = () => look(true)
  return () => look()
}
