// Follows photos from "stored" to their end with long polls, two of them at most per tab. The oldest go first,
// as in the server's queue; one that did not change gives its place to the next.
import { ask, backoff, transient } from './http.js';

const lanes = 2;
const longWait = 20; // s, the most that the server holds a request
const shortWait = 5; // s, while others wait for their turn, and for the first poll: others may be about to come
const slack = 15_000; // ms on top of the wait before a poll counts as dead

export class Follower {
	#queue = []; // {id, version, wait}, whose turn is next in front
	#polls = new Set(); // {job, control, then}
	#resting = new Map(); // job: the timer after which it may be asked for again
	#failures = 0;
	#timer = 0; // set while everything pauses after a failure
	#got;

	// got(id, image) is called for every answer, with null when the server does not know the image.
	constructor(got) {
		this.#got = got;
	}

	// Without a version the present state is asked for first; with one, the next change.
	follow(id, version) {
		this.stop(id);
		this.#queue.push({ id, version, wait: version === undefined ? 0 : shortWait });
		this.#pump();
	}

	stop(id) {
		this.#queue = this.#queue.filter((job) => job.id !== id);
		for (const [job, timer] of this.#resting) {
			if (job.id !== id) continue;
			clearTimeout(timer);
			this.#resting.delete(job);
		}
		for (const poll of this.#polls) if (poll.job.id === id) this.#abort(poll, () => {});
	}

	// After a sleep the connections may be dead without anybody having noticed: ask again at once.
	wake() {
		clearTimeout(this.#timer);
		this.#timer = 0;
		for (const poll of this.#polls) {
			if (!poll.control.signal.aborted) this.#abort(poll, () => this.#queue.unshift(poll.job));
		}
		this.#pump();
	}

	#abort(poll, then) {
		poll.then = then;
		poll.control.abort();
	}

	#pump() {
		while (!this.#timer && this.#polls.size < lanes && this.#queue.length) this.#poll(this.#queue.shift());
	}

	async #poll(job) {
		const poll = { job, control: new AbortController(), then: (got) => this.#take(job, got) };
		this.#polls.add(poll);
		const query = job.wait ? `?wait=${job.wait}s&version=${job.version}` : '';
		const ms = job.wait * 1000 + slack;
		const began = performance.now();
		const got = await ask(`/image/${job.id}${query}`, { ms, signal: poll.control.signal });
		got.early = performance.now() - began < job.wait * 1000 - 100; // the clocks of both sides differ a little
		// The page is told of an abort before the server is; only then is the lane free.
		if (poll.control.signal.aborted) await new Promise((resolve) => setTimeout(resolve, 100));
		this.#polls.delete(poll);
		poll.then(got);
		this.#pump();
	}

	#take(job, got) {
		if (got.image) {
			this.#failures = 0;
			const pause = this.#pause(job, got);
			const crowded = this.#queue.length + this.#polls.size >= lanes;
			Object.assign(job, { version: got.image.version, wait: crowded ? shortWait : longWait });
			if (!final(got.image)) this.#later(job, pause);
			this.#got(job.id, got.image);
		} else if (transient(got.status)) {
			this.#queue.unshift(job);
			this.#rest(Math.max(backoff(this.#failures++), (got.after ?? 0) * (1 + Math.random() / 2)));
		} else {
			this.#got(job.id, null);
		}
	}

	// How long to leave a photo alone, in ms. A server that is full, or stops, answers a wait at once: asking again at
	// once would be a storm.
	#pause(job, got) {
		const unchanged = got.image.version === job.version && got.early;
		job.hasty = unchanged ? (job.hasty ?? 0) + 1 : 0;
		const after = got.after * (1 + Math.random() / 2); // so that many tabs do not come back in step
		return Math.max(after, unchanged ? backoff(job.hasty + 1) : 0);
	}

	#later(job, ms) {
		if (!ms) return this.#queue.push(job);
		const timer = setTimeout(() => {
			this.#resting.delete(job);
			this.#queue.push(job);
			this.#pump();
		}, ms);
		this.#resting.set(job, timer);
	}

	#rest(ms) {
		clearTimeout(this.#timer);
		this.#timer = setTimeout(() => {
			this.#timer = 0;
			this.#pump();
		}, ms);
	}
}

const final = (image) => image.state === 'processed' || image.state === 'failed';
