// The checkpoints, and what can be done with each.
import { at, bytes, make, moment, soft, whole } from "./dom.js"
import { follow, notice, press } from "./notices.js"
import { openRestore } from "./restore.js"
import { call } from "./server.js"

const PAGE = 8
let shown = PAGE, told = ""

export async function showCheckpoints() {
  const { checkpoints, next } = await page()
  at("older").hidden = next === null
  if (JSON.stringify(checkpoints) === told) return
  told = JSON.stringify(checkpoints)
  if (!checkpoints.length) return at("checkpoints").replaceChildren(soft("None yet."))
  const heads = ["Checkpoint", "Step", "Taken", "Size", "Files", ""].map(text => make("th", { scope: "col" }, text))
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...checkpoints.map(line)))
  at("checkpoints").replaceChildren(table)
}

async function page() {
  try {
    return await call("GET", `v1/checkpoints?limit=${Math.min(shown, 200)}`)
  } catch (error) {
    at("checkpoints").replaceChildren(soft(error.message))
    told = ""
    return { checkpoints: [], next: null }
  }
}

at("older").onclick = () => {
  shown += 2 * PAGE
  showCheckpoints()
}

function line(one) {
  const badges = [one.label && make("span", { className: "label" }, one.label), one.pinned && make("span", { className: "label pin" }, "pinned")]
  const cells = [
    ["", make("code", {}, one.id), ...badges.filter(Boolean)],
    ["Step", whole(one.step)],
    ["Taken", make("time", { dateTime: one.created_at, title: one.cause ?? "" }, moment(one.created_at))],
    ["Size", bytes(one.size_bytes)],
    ["Files", make("span", { className: one.integrity }, one.integrity)],
    ["", make("div", { className: "actions" }, ...actions(one))],
  ]
  return make("tr", {}, ...cells.map(([name, ...content]) => make("td", { "data-name": name }, ...content)))
}

function actions(one) {
  const path = `v1/checkpoints/${encodeURIComponent(one.id)}`
  const slow = (button, verb, title, result) =>
    press(button, async () => follow(await call("POST", `${path}/${verb}`), `${title} ${one.id}`, result).then(showCheckpoints))
  return [
    action("Verify", one, button => slow(button, "verify", "Verify", () => "every file is what was written")),
    action("Restore…", one, () => openRestore(one.id)),
    action(one.pinned ? "Unpin" : "Pin", one, button =>
      press(button, async () => {
        await call("PATCH", path, { pinned: !one.pinned })
        notice(`${one.id} is ${one.pinned ? "kept as long as the rules say" : "kept for ever"}`, "good")
        await showCheckpoints()
      })),
    action("Export", one, button => slow(button, "export", "Export", result => result.directory)),
  ]
}

function action(text, one, work) {
  const button = make("button", { type: "button", className: "link", "aria-label": `${text} ${one.id}` }, text)
  button.onclick = () => work(button)
  return button
}
