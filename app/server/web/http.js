// What every request here shares: how an answer is read, what is worth a retry, and how long to pause.

// No decision was taken on these, so the same request may be sent again. 0 is no answer at all.
export const transient = (status) => status === 0 || status === 408 || status === 429 || status >= 500;

// Pause before try number attempt + 1, in ms. Half of it is random, so that the many tabs which a dead server
// left behind do not come back in step.
export function backoff(attempt) {
	const full = Math.min(30_000, 500 * 2 ** attempt);
	return (full * (1 + Math.random())) / 2;
}

// Retry-After in ms, 0 if there is none; it is a number of seconds or a date. Five minutes is the most that is
// obeyed: beyond that the person should see that the page still tries.
function retryAfter(header) {
	if (!header) return 0;
	const ms = /^\d+$/.test(header) ? header * 1000 : Date.parse(header) - Date.now();
	return Math.min(Math.max(ms || 0, 0), 300_000);
}

// One shape for every answer: {status, after, image, detail}. image is set when the server took the request,
// detail, its own sentence if it gave one, when not; status 0 if nothing usable came.
export function answer(status, text, after) {
	let body = {};
	try {
		body = JSON.parse(text) ?? {};
	} catch {
		// A proxy's own error page, or a body cut short: the status has to do.
	}
	const ok = status >= 200 && status < 300;
	if (ok && !body.state) return { status: 0 }; // some hotel's login page
	if (ok) return { status, after: retryAfter(after), image: body };
	const detail = body.detail || (status === 413 ? 'The photo is too large.' : `The server refused it (${status}).`);
	return { status, after: retryAfter(after), detail };
}

// A request that always ends: with an answer, or with status 0 after ms or when signal says so.
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
