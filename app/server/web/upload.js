// Sends photos until the server has answered. The id is made here and the server accepts the same bytes for the same
// id any number of times, so every request may be repeated when no answer came.
import { answer, ask, backoff, transient } from './http.js';
import { blob } from './store.js';

const maxUploads = 2; // uploads at once; a browser opens six connections to a host, and polls and pictures need theirs
const stall = 30_000; // ms without progress after which the connection counts as lost
const minute = 60_000; // ms that the server waits for the last byte, from the first
const storing = 12_000; // ms that it may then take to answer
const maxCut = 3; // times that a photo may exceed the server's 60 s, or arrive truncated, before the user is told

export class Uploader {
	// id -> {photo, tries, cut, at, asked, control}: photos without an answer, oldest first. The next attempt is due at
	// the time at; the server asked for none before the time asked (ms).
	#jobs = new Map();
	#timer = 0;
	#changed;
	#ended;

	// changed(photo) is called on every visible change, ended(photo, image) when the server has decided: with the image
	// if it accepted the photo, else with null; then photo.stage and photo.note say why.
	constructor(changed, ended) {
		this.#changed = changed;
		this.#ended = ended;
	}

	get unsent() {
		return [...this.#jobs.values()].map((job) => job.photo);
	}

	add(photo) {
		this.#jobs.set(photo.id, { photo, tries: 0, cut: 0, at: 0, asked: 0, control: null });
		this.#pump();
	}

	drop(id) {
		this.#jobs.get(id)?.control?.abort();
		this.#jobs.delete(id);
		this.#pump();
	}

	// Ends the pauses after failures, because the network is back or the tab woke up, but not those of Retry-After.
	wake() {
		for (const job of this.#jobs.values()) job.at = job.asked;
		this.#pump();
	}

	// Ends any pause of one photo: the user asked for it.
	now(id) {
		if (this.#jobs.has(id)) this.#jobs.get(id).at = 0;
		this.#pump();
	}

	#pump() {
		clearTimeout(this.#timer);
		const idle = [...this.#jobs.values()].filter((job) => !job.control);
		let free = maxUploads - (this.#jobs.size - idle.length);
		for (const job of idle) {
			if (free > 0 && job.at <= Date.now()) {
				free--;
				this.#run(job);
			}
		}
		const next = Math.min(...idle.filter((job) => !job.control).map((job) => job.at));
		if (free > 0 && next < Infinity) this.#timer = setTimeout(() => this.#pump(), Math.max(next - Date.now(), 50));
	}

	async #run(job) {
		const { photo } = job;
		job.control = new AbortController();
		Object.assign(photo, { stage: 'sending', sent: 0, note: '' });
		this.#changed(photo);
		const got = await attempt(photo, job.control.signal, (percent) => {
			Object.assign(photo, { sent: percent, again: false });
			this.#changed(photo);
		});
		if (this.#jobs.get(photo.id) !== job) return; // removed meanwhile
		job.control = null;
		const end = got.image ? {} : outcome(job, got);
		if (end) {
			this.#jobs.delete(photo.id);
			Object.assign(photo, end, { again: false });
			this.#ended(photo, got.image ?? null);
		} else {
			const ms = Math.max(backoff(job.tries++), got.after ?? 0);
			job.asked = Date.now() + (got.after ?? 0);
			job.at = Date.now() + ms;
			Object.assign(photo, { stage: 'waiting', sent: 0, again: true, note: pauseNote(got.status, ms) });
			this.#changed(photo);
		}
		this.#pump();
	}
}

// Returns the final stage of a photo after an answer without an image, or null for another attempt.
function outcome(job, got) {
	if (got.lost) return { stage: 'lost', note: 'This browser no longer has the photo. Choose the same file again; the link stays the same.' };
	// 404: the id expired between the two requests. 400: a proxy truncated the body. Both are worth another attempt, as
	// a slow connection is, but not for ever.
	if (![400, 404, 408].includes(got.status)) return transient(got.status) ? null : { stage: 'refused', note: got.detail };
	if (++job.cut < maxCut) return null;
	if (got.status !== 408) return { stage: 'refused', note: got.detail };
	return { stage: 'stopped', note: 'The connection is too slow for this photo: the server waits one minute for it. Try again with a faster one.' };
}

function pauseNote(status, ms) {
	const why = status === 0 ? (navigator.onLine ? 'The server does not answer' : 'You are offline')
		: status === 408 ? 'The connection was too slow'
		: status === 503 || status === 429 ? 'The server is busy'
		: 'The server has a problem';
	const when = ms < 3000 ? 'in a moment' : `in ${Math.round(ms / 1000)} seconds`;
	return `${why}. Trying again ${when}.`;
}

// One attempt. It creates the image first, which returns an existing one: after a lost answer the photo may be
// stored already.
async function attempt(photo, signal, progress) {
	const body = JSON.stringify({ id: photo.id });
	const made = await ask('/image', { method: 'POST', body, signal, headers: { 'Content-Type': 'application/json' } });
	if (!made.image) return made;
	// An id made here can only have this photo. An id from a link may have another one, so the server has to compare.
	if (photo.own && made.image.state !== 'created') return made;
	const bytes = await readable(photo);
	return bytes ? send(photo, bytes, signal, progress) : { lost: true };
}

// The stored copy comes first: the file on disk may have been changed or deleted since it was chosen, and a failed
// read of it looks like a network error.
async function readable(photo) {
	for (const bytes of [await blob(photo.id, 'bytes'), photo.file]) {
		try {
			if (bytes && (await bytes.slice(0, 1).arrayBuffer())) return bytes;
		} catch {
			// No longer readable; try the other one.
		}
	}
	return null;
}

// Uses XMLHttpRequest, because fetch reports no upload progress. An attempt that ends without an answer after the
// server's minute counts as 408, because browsers hide it: Chromium takes a 408 on a reused connection for the end of
// an idle connection, and sends everything again.
function send(photo, bytes, signal, progress) {
	return new Promise((resolve) => {
		const xhr = new XMLHttpRequest();
		const form = new FormData();
		form.append('file', bytes, photo.name);
		const stop = () => xhr.abort();
		let watch = 0;
		let late = 0;
		let over = false;
		const alive = () => {
			clearTimeout(watch);
			watch = setTimeout(stop, stall);
		};
		const end = (got) => {
			clearTimeout(watch);
			clearTimeout(late);
			signal.removeEventListener('abort', stop);
			resolve(got);
		};
		signal.addEventListener('abort', stop);
		xhr.upload.onprogress = (e) => {
			alive();
			late ||= setTimeout(() => {
				over = true;
				late = setTimeout(stop, storing);
			}, minute);
			if (e.lengthComputable) progress(Math.floor((100 * e.loaded) / e.total));
		};
		xhr.onload = () => end(answer(xhr.status, xhr.responseText, xhr.getResponseHeader('Retry-After')));
		xhr.onerror = xhr.onabort = () => end({ status: over ? 408 : 0 });
		xhr.open('POST', `/image/${photo.id}/upload`);
		xhr.setRequestHeader('Accept', 'application/json');
		alive();
		xhr.send(form);
	});
}
