// The page: hears the service's events and hands each part what concerns it.
import { addPoint, openHistory, showNow } from "./charts.js"
import { showCheckpoints } from "./checkpoints.js"
import { at, say } from "./dom.js"
import { addHappening, showHappenings } from "./happenings.js"
import { showLetters } from "./letters.js"
import { classColours, showPictures } from "./pictures.js"
import { showProblems } from "./problems.js"
import { showScores } from "./scores.js"
import { forgetToken, hasToken } from "./server.js"
import { showLost, showState, steer } from "./state.js"
import { listen } from "./stream.js"
import { showWay } from "./way.js"

let status = null, heardAt = null, newest = {}

function show() {
  showState(status)
  showNow(status)
  showProblems(status.problems)
  showWay(status.partitions)
  showScores(status.scores, classColours())
}

function connected(is, text) {
  say(at("connection"), text)
  at("connection").className = is ? "live" : ""
  document.body.classList.toggle("stale", !is)
}

function lost({ short, sentence }) {
  connected(false, short)
  showLost(sentence, heardAt)
}

function shelves() {
  showCheckpoints()
  showLetters()
}

function tokenChanged() {
  at("forget").hidden = !hasToken()
  showPictures()
  showLetters()
}

steer(changed => {
  if (status === null) return
  Object.assign(status, changed)
  show()
})
at("forget").onclick = () => {
  forgetToken()
  tokenChanged()
}
at("forget").hidden = !hasToken()
document.addEventListener("token", tokenChanged)

listen({
  opening({ tiers, happenings }) {
    connected(true, "live")
    openHistory(tiers)
    showHappenings(happenings)
    newest = {}
  },
  status(now) {
    status = now
    heardAt = Date.now()
    show()
  },
  point: addPoint,
  happening(one) {
    addHappening(one)
    if (one.about === "operation" || one.about === "checkpoint") shelves()
  },
  newest(now) {
    if (now.checkpoint !== newest.checkpoint) shelves()
    if (now.pictures !== newest.pictures) showPictures()
    newest = now
  },
}, lost)
