// What was asked for, and what came of it; slow work is followed until it has ended.
import { at, make } from "./dom.js"
import { call } from "./server.js"

const POLL_MS = 700
const SHOWN_MS = 15_000

export function notice(text, kind = "") {
  const line = make("li", { className: kind }, make("span", {}, text))
  line.append(make("button", { type: "button", className: "link", textContent: "Dismiss", onclick: () => line.remove() }))
  at("notices").prepend(line)
  return {
    say(text, kind = "") {
      line.firstChild.textContent = text
      line.className = kind
      if (kind === "good") setTimeout(() => line.remove(), SHOWN_MS)
    },
  }
}

// A button does one thing at a time; what goes wrong is told. False if it did.
export async function press(button, work) {
  if (button.ariaDisabled === "true") return false
  button.ariaDisabled = "true" // a disabled one would lose the focus
  try {
    await work()
    return true
  } catch (error) {
    notice(error.message, "bad")
    return false
  } finally {
    button.ariaDisabled = null
  }
}

// operation: what a 202 carried. told: what is said of its result.
export async function follow(operation, title, told) {
  const line = notice(`${title}: asked for…`)
  for (;;) {
    if (operation.state === "succeeded") return line.say(`${title}: ${told(operation.result)}`, "good")
    if (operation.state === "failed" || operation.state === "cancelled") {
      return line.say(`${title}: ${operation.problem?.detail ?? operation.state}`, "bad")
    }
    line.say(`${title}: ${operation.state}…`)
    await new Promise(resolve => setTimeout(resolve, POLL_MS))
    try {
      operation = await call("GET", `v1/operations/${operation.id}`)
    } catch (error) {
      if (error.status === 404) return line.say(`${title}: the service knows nothing of it any more`, "bad")
    } // else it may be starting again
  }
}
