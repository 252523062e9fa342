// The service's events. It may go and come again: whoever listens is told that, and then everything from the beginning.
const SILENCE_MS = 10_000 // a status comes every second
const AGAIN_S = 2
const GONE = { short: "no answer, trying again…", sentence: "The service doesn't answer." }

// lost: is told why there is nothing to hear, in a few words and as a sentence.
export function listen(handlers, lost) {
  let source = null, timer = null

  function open() {
    source = new EventSource("v1/events")
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, event => {
        wait(SILENCE_MS)
        handle(JSON.parse(event.data))
      })
    }
    source.addEventListener("error", failed)
    wait(SILENCE_MS)
  }

  // It tries again by itself after a break, but not after an answer that isn't a stream, and it doesn't tell that one.
  async function failed({ target }) {
    if (target.readyState !== EventSource.CLOSED) return lost(GONE)
    const { reason, again_s } = await refusal()
    if (target !== source) return
    if (reason) lost(reason)
    wait(1000 * again_s)
  }

  function close() {
    clearTimeout(timer)
    source?.close()
    source = null
  }

  function wait(milliseconds) {
    clearTimeout(timer)
    timer = setTimeout(() => {
      if (source.readyState !== EventSource.CLOSED) lost(GONE) // else it is told already
      close()
      open()
    }, milliseconds)
  }

  // A browser keeps six connections to a service: a page that nobody sees needs none of them.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close()
    else if (source === null) open()
  })
  window.addEventListener("pagehide", close)
  window.addEventListener("pageshow", event => event.persisted && source === null && open())
  open()
}

// Why the service gives no stream; no reason when it would give one now.
async function refusal() {
  const ended = new AbortController()
  try {
    const answer = await fetch("v1/events", { cache: "no-store", credentials: "omit", signal: ended.signal })
    if (answer.ok) return { reason: null, again_s: 0 }
    const again_s = Number(answer.headers.get("Retry-After")) || AGAIN_S
    const { detail } = await answer.json().catch(() => ({}))
    if (answer.status !== 429) return { reason: { short: `refused (${answer.status}), trying again…`, sentence: `The service refuses: ${detail ?? answer.status}.` }, again_s }
    return { reason: { short: "too many listeners, trying again…", sentence: `Too many listeners: ${detail}.` }, again_s }
  } catch {
    return { reason: GONE, again_s: AGAIN_S }
  } finally {
    ended.abort()
  }
}
