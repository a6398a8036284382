// Shows /_fleet.json once a second. Rows are kept and updated, so that a focused button keeps its focus.
const token = document.querySelector('meta[name=fleet-token]').content
const columns = [...document.querySelectorAll('thead th')].map((th) => th.textContent)
const rows = new Map()

function show(id, text) {
  const el = document.getElementById(id)
  if (el.textContent !== String(text)) el.textContent = text // screen readers announce every change
}

function duration(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  return `${Math.floor(seconds / 3600)} h`
}

function rowOf(name) {
  if (rows.has(name)) return rows.get(name)
  const tr = document.createElement('tr')
  for (const [i, column] of columns.entries()) {
    const cell = document.createElement(i ? 'td' : 'th')
    if (i > 1 && i < columns.length - 1) cell.dataset.label = column
    tr.append(cell)
  }
  tr.firstChild.scope = 'row'
  const button = document.createElement('button')
  button.textContent = 'Kill'
  button.setAttribute('aria-label', `Kill ${name}`)
  button.addEventListener('click', () => kill(name))
  tr.lastChild.append(button)
  document.getElementById('processes').append(tr)
  rows.set(name, tr)
  return tr
}

// reason returns the detail of an error response, or an empty string.
const reason = (response) => response.json().then((problem) => problem.detail, () => '')

async function kill(name) {
  try {
    const response = await fetch(`/_fleet/kill/${encodeURIComponent(name)}`, { method: 'POST', headers: { 'X-Fleet-Token': token } })
    show('news', response.ok ? `${name} was killed.` : `${name} was not killed. ${await reason(response)}`)
  } catch {
    show('news', `${name} was not killed: the fleet does not answer.`)
  }
  refresh()
}

function showProcess(p) {
  const state = p.pid ? (p.ready ? 'ready' : 'starting') : 'down'
  const cells = [p.name, state, p.pid || '–', p.pid ? duration(p.uptime) : '–', p.restarts, p.done, p.inFlight, p.release.slice(0, 12) || '–']
  const tr = rowOf(p.name)
  for (const [i, text] of cells.entries()) {
    if (tr.cells[i].textContent !== String(text)) tr.cells[i].textContent = text
  }
  tr.cells[1].dataset.state = state
  tr.cells[6].classList.toggle('busy', p.inFlight > 0)
}

function showQueue(q) {
  show('visible', q.visible)
  show('inFlight', q.inFlight)
  show('deadLetters', q.deadLetters)
  show('oldest', q.oldestUnfinished ? duration(q.oldestUnfinished) : 'none')
  const alarm = { 0: '', 1: '1 dead letter: its photo says why it failed.' }[q.deadLetters] ?? `${q.deadLetters} dead letters: their photos say why they failed.`
  show('alarm', alarm && `${alarm} For details run: imagery dlq ls`)
  document.getElementById('alarm').hidden = !alarm
  document.body.classList.toggle('alarming', Boolean(alarm))
  document.title = `${q.deadLetters ? `(${q.deadLetters}) ` : ''}Fleet · Imagery`
}

// showOutage shows why there is no new state. An empty text removes it.
let shown = ''
function showOutage(text) {
  if (text !== shown) show('news', text)
  shown = text
  document.body.classList.toggle('outage', Boolean(text))
}

async function refresh() {
  try {
    const response = await fetch('/_fleet.json')
    if (!response.ok) return showOutage(await reason(response) || 'The fleet has a problem.')
    const { processes, queue } = await response.json()
    processes.forEach(showProcess)
    showQueue(queue)
    showOutage('')
  } catch {
    showOutage('The fleet does not answer.')
  }
}

for (;;) {
  await refresh()
  await new Promise((resolve) => setTimeout(resolve, 1000))
}
