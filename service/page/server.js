// Requests to the service. The token is asked for once, kept for this tab, and never part of an address.
import { at } from "./dom.js"

const KEY = `penstock-token ${location.pathname}`
const WHAT_FOR = at("token-text").textContent
let asking = null

export class Refused extends Error {
  constructor(message, status = null) {
    super(message)
    this.status = status
  }
}
export class TokenNeeded extends Refused {}

export async function call(method, path, body, { ask = true } = {}) {
  for (let wrong = false; ; wrong = true) {
    const answer = await send(method, path, body)
    if (answer.status === 401 && !ask) throw new TokenNeeded("This needs the service's token.")
    if (answer.status === 401) {
      if ((await askForToken(wrong)) === null) throw new TokenNeeded("Nothing was done: this needs the service's token.")
      continue
    }
    const content = answer.status === 204 ? null : await answer.json().catch(() => null)
    if (!answer.ok) throw new Refused(content?.detail ?? `the service answered ${answer.status}`, answer.status)
    return content
  }
}

export const forgetToken = () => sessionStorage.removeItem(KEY)
export const hasToken = () => sessionStorage.getItem(KEY) !== null

async function send(method, path, body) {
  const headers = {}
  const token = sessionStorage.getItem(KEY)
  if (token !== null) headers.Authorization = `Bearer ${token}`
  if (body !== undefined) headers["Content-Type"] = "application/json"
  try {
    return await fetch(path, { method, headers, body: body && JSON.stringify(body), cache: "no-store", credentials: "omit" })
  } catch {
    throw new Refused("The service doesn't answer.")
  }
}

// Several may need it at once; it is asked for once.
function askForToken(wrong) {
  asking ??= new Promise(resolve => {
    const dialog = at("token-dialog"), field = at("token")
    at("token-text").textContent = wrong || hasToken() ? "That is not the service's token." : WHAT_FOR
    field.value = ""
    dialog.returnValue = ""
    dialog.showModal()
    dialog.addEventListener("close", () => {
      asking = null
      const given = dialog.returnValue === "ok" ? field.value.trim() : ""
      field.value = ""
      if (given) sessionStorage.setItem(KEY, given)
      document.dispatchEvent(new Event("token"))
      resolve(given || null)
    }, { once: true })
  })
  return asking
}
