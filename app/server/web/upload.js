// Sends photos until the server has answered. The id is made here and the server takes the same bytes for the
// same id any number of times, so every request may be repeated after any kind of silence.
import { answer, ask, backoff, transient } from './http.js';
import { blob } from './store.js';

const lanes = 2; // uploads at once; a browser opens six connections to a host, and polls and pictures need theirs
const stall = 30_000; // ms without a byte of progress after which the connection counts as dead
const minute = 60_000; // ms that the server waits for the last byte, from the first
const storing = 12_000; // ms that it may then take to answer
const maxCut = 3; // times that one photo may run out of the server's 60 s, or arrive cut short, before it is said

export class Uploader {
	// id -> {photo, tries, cut, at, asked, control}: what is not answered yet, oldest first. The next try is due at
	// at, and the server asked for none before asked (ms).
	#jobs = new Map();
	#timer = 0;
	#changed;
	#ended;

	// changed(photo) is called on every visible change; ended(photo, image) when the server has decided: with the
	// image if it took the photo, with null if not, and then photo.stage and photo.note say what now.
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

	// Ends our own pauses, because the network is back or the tab woke up; what the server asked for stays.
	wake() {
		for (const job of this.#jobs.values()) job.at = job.asked;
		this.#pump();
	}

	// Ends any pause of one photo: somebody has lost patience.
	now(id) {
		if (this.#jobs.has(id)) this.#jobs.get(id).at = 0;
		this.#pump();
	}

	#pump() {
		clearTimeout(this.#timer);
		const idle = [...this.#jobs.values()].filter((job) => !job.control);
		let free = lanes - (this.#jobs.size - idle.length);
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

// What an answer without an image means for the photo: the stage that it ends in, or null for another try.
function outcome(job, got) {
	if (got.lost) return { stage: 'lost', note: 'This browser no longer has the photo. Choose the same file again; its link stays.' };
	// 404: the id ran out between its two requests. 400: something in between cut the body short. Both deserve
	// a new try, as a slow line does, but not for ever.
	if (![400, 404, 408].includes(got.status)) return transient(got.status) ? null : { stage: 'refused', note: got.detail };
	if (++job.cut < maxCut) return null;
	if (got.status !== 408) return { stage: 'refused', note: got.detail };
	return { stage: 'stopped', note: 'The line is too slow for this photo: the server waits one minute for it. Try again on a faster one.' };
}

function pauseNote(status, ms) {
	const why = status === 0 ? (navigator.onLine ? 'The server does not answer' : 'You are offline')
		: status === 408 ? 'The line was too slow'
		: status === 503 || status === 429 ? 'The server is busy'
		: 'The server has a problem';
	const when = ms < 3000 ? 'in a moment' : `in ${Math.round(ms / 1000)} seconds`;
	return `${why}. Trying again ${when}.`;
}

// One try. It asks about the id first, which makes it if need be: after a lost answer the photo may be there already.
async function attempt(photo, signal, progress) {
	const body = JSON.stringify({ id: photo.id });
	const made = await ask('/image', { method: 'POST', body, signal, headers: { 'Content-Type': 'application/json' } });
	if (!made.image) return made;
	// An id made here can only have this photo. One that came in a link may have any, so the server has to compare.
	if (photo.own && made.image.state !== 'created') return made;
	const bytes = await readable(photo);
	return bytes ? send(photo, bytes, signal, progress) : { lost: true };
}

// The browser's stored copy comes first: the file on disk may have been changed or deleted since it was chosen,
// and reading that fails like a dead network does.
async function readable(photo) {
	for (const bytes of [await blob(photo.id, 'bytes'), photo.file]) {
		try {
			if (bytes && (await bytes.slice(0, 1).arrayBuffer())) return bytes;
		} catch {
			// Not readable any more; try the other one.
		}
	}
	return null;
}

// XMLHttpRequest, because fetch does not tell how far an upload has come. A try that ends without an answer after
// the server's minute counts as its 408. That one is easily missed: Chromium takes a 408 on a connection that was
// used before for the end of an idle connection, and without a word begins to send everything again.
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
