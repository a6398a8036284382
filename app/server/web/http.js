// Shared by all requests: reading an answer, which ones to repeat, and how long to pause.

// With these statuses the same request may succeed later. 0 means no answer.
export const transient = (status) => status === 0 || status === 408 || status === 429 || status >= 500;

// Pause before try number attempt + 1, in ms. Half of it is random, so that many tabs do not retry at
// the same moment after a server has failed.
export function backoff(attempt) {
	const full = Math.min(30_000, 500 * 2 ** attempt);
	return (full * (1 + Math.random())) / 2;
}

// Retry-After in ms, 0 if there is none; it is a number of seconds or a date. At most five minutes are
// obeyed, so that the user sees that the page still tries.
function retryAfter(header) {
	if (!header) return 0;
	const ms = /^\d+$/.test(header) ? header * 1000 : Date.parse(header) - Date.now();
	return Math.min(Math.max(ms || 0, 0), 300_000);
}

// Returns {status, after, image, detail} for every answer. image is set when the server accepted the request, else
// detail: the server's own message if there is one. status is 0 if the answer is unusable.
export function answer(status, text, after) {
	let body = {};
	try {
		body = JSON.parse(text) ?? {};
	} catch {
		// A proxy's error page, or a truncated body: only the status is usable.
	}
	const ok = status >= 200 && status < 300;
	if (ok && !body.state) return { status: 0 }; // for example the login page of a Wi-Fi network
	if (ok) return { status, after: retryAfter(after), image: body };
	const detail = body.detail || (status === 413 ? 'The photo is too large.' : `The server refused it (${status}).`);
	return { status, after: retryAfter(after), detail };
}

// Sends a request that always ends: with an answer, or with status 0 after ms or when signal aborts it.
export async function ask(path, { ms = 15_000, signal, ...init } = {}) {
	const control = new AbortController();
	const stop = () => control.abort();
	const timer = setTimeout(stop, ms);
	signal?.addEventListener('abort', stop);
	try {
		const headers = { Accept: 'application/json', ...init.headers };
		const r = await fetch(path, { cache: 'no-store', ...init, headers, signal: control.signal });
		return answer(r.status, await r.text(), r.headers.get('Retry-After'));
	} catch {
		return { status: 0 };
	} finally {
		clearTimeout(timer);
		signal?.removeEventListener('abort', stop);
	}
}
