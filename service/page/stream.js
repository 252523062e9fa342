// The service's events. It may go and come again: whoever listens is told that, and then everything from the beginning.
const SILENCE_MS = 10_000 // a status comes every second
const AGAIN_MS = 2_000

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
    source.addEventListener("error", () => {
      lost()
      // It tries again by itself after a break, but not after an answer that isn't a stream.
      if (source?.readyState === EventSource.CLOSED) wait(AGAIN_MS)
    })
    wait(SILENCE_MS)
  }

  function close() {
    clearTimeout(timer)
    source?.close()
    source = null
  }

  function wait(milliseconds) {
    clearTimeout(timer)
    timer = setTimeout(() => {
      close()
      lost()
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
