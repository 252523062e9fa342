// Going back to a checkpoint: what would follow is shown first, and only then it can be done.
import { at, make, plural, whole } from "./dom.js"
import { follow, notice } from "./notices.js"
import { call } from "./server.js"

let path = "", identifier = "", looks = 0

const wanted = () => ({ records: document.querySelector("input[name=records]:checked").value })

export function openRestore(id) {
  identifier = id
  path = `v1/checkpoints/${encodeURIComponent(id)}/restore`
  at("restore-id").textContent = id
  document.querySelector("input[name=records][value=retrain]").checked = true
  at("restore-dialog").returnValue = ""
  at("restore-dialog").showModal()
  look()
}

// The dry run. Only the answer to the last question counts.
async function look() {
  const number = ++looks
  at("restore-ok").disabled = true
  at("loss").hidden = true
  at("accept-loss").checked = false
  at("consequences").replaceChildren(make("p", { className: "soft" }, "Looking at what would follow…"))
  try {
    const told = await call("POST", path, { ...wanted(), dry_run: true })
    if (number === looks) show(told)
  } catch (error) {
    if (number === looks) at("consequences").replaceChildren(make("p", { className: "bad" }, error.message))
  }
}

function show(told) {
  const fate = told.records === "skip" ? "left out for good" : "trained again"
  const heads = ["Partition", "New position", told.records === "skip" ? "Left out" : "Again", "In the weights now", "Gone"]
  const lines = told.partitions.map(each => [`${each.topic} ${each.partition}`, whole(each.position), whole(each.again), whole(each.trained), whole(each.gone)])
  const row = (cells, tag) => make("tr", {}, ...cells.map(text => make(tag, {}, text)))
  at("consequences").replaceChildren(
    make("p", {}, told.again ? `${plural(told.again, "record")} will be ${fate}.` : "Nothing was settled since then."),
    make("table", {}, make("thead", {}, row(heads, "th")), make("tbody", {}, ...lines.map(cells => row(cells, "td")))))
  const lost = told.records === "retrain" && told.gone !== 0
  at("loss").hidden = !lost
  at("loss-text").textContent = told.gone === null
    ? "Go back although nobody knows what of them the topic still has"
    : `Go back although ${plural(told.gone, "record")} of them the topic has no more`
  at("restore-ok").disabled = lost
}

for (const choice of document.querySelectorAll("input[name=records]")) choice.onchange = look
at("accept-loss").onchange = () => (at("restore-ok").disabled = !at("accept-loss").checked)

at("restore-dialog").addEventListener("close", async () => {
  looks += 1
  if (at("restore-dialog").returnValue !== "ok") return
  try {
    const operation = await call("POST", path, { ...wanted(), accept_loss: at("accept-loss").checked })
    follow(operation, `Restore of ${identifier}`, result => `it is the newest again, as ${result.checkpoint_id}`)
  } catch (error) {
    notice(error.message, "bad")
  }
})
