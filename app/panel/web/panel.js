// Shows /_fleet.json once a second. Rows are kept and updated, so that a focused button keeps its focus.
const token = document.querySelector('meta[name=fleet-token]').content
const body = document.getElementById('processes')
const show = (id, text) => { document.getElementById(id).textContent = text }
const rows = new Map()

function duration(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  return `${Math.floor(seconds / 3600)} h`
}

function rowOf(name) {
  if (rows.has(name)) return rows.get(name)
  const tr = document.createElement('tr')
  for (let i = 0; i < 9; i++) tr.append(document.createElement(i ? 'td' : 'th'))
  tr.firstChild.scope = 'row'
  const button = document.createElement('button')
  button.textContent = 'Kill'
  button.setAttribute('aria-label', `Kill ${name}`)
  button.addEventListener('click', () => kill(name, button))
  tr.lastChild.append(button)
  body.append(tr)
  rows.set(name, tr)
  return tr
}

async function kill(name, button) {
  button.disabled = true
  const answer = await fetch(`/_fleet/kill/${encodeURIComponent(name)}`, { method: 'POST', headers: { 'X-Fleet-Token': token } }).catch(() => null)
  show('news', answer?.ok ? `${name} was killed.` : `${name} could not be killed.`)
  button.disabled = false
  look()
}

async function look() {
  let state
  try {
    const answer = await fetch('/_fleet.json')
    if (!answer.ok) throw new Error(answer.statusText)
    state = await answer.json()
  } catch {
    show('news', 'The fleet does not answer.')
    return
  }
  for (const p of state.processes) {
    const cells = [p.name, p.pid ? (p.ready ? 'ready' : 'starting') : 'down', p.pid || '–', p.pid ? duration(p.uptime) : '–',
      p.restarts, p.done, p.inFlight, p.release.slice(0, 12) || '–']
    const tr = rowOf(p.name)
    cells.forEach((text, i) => { if (tr.children[i].textContent !== String(text)) tr.children[i].textContent = text })
  }
  const q = state.queue
  show('visible', q.visible)
  show('inFlight', q.inFlight)
  show('deadLetters', q.deadLetters)
  show('oldest', q.oldestUnfinished ? duration(q.oldestUnfinished) : 'none')
  const alarm = document.getElementById('alarm')
  const text = q.deadLetters ? `${q.deadLetters} dead letter${q.deadLetters > 1 ? 's' : ''}: their photos say why they failed. Type: imagery dlq ls` : ''
  if (alarm.textContent !== text) alarm.textContent = text
  alarm.hidden = !text
}

look()
setInterval(look, 1000)
