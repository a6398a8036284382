// Follows photos from "stored" to their final state by long polls, at most two per tab. The oldest go first, as in
// the server's queue; a photo that did not change goes to the end of the line.
import { ask, backoff, transient } from './http.js';

const maxPolls = 2;
const longWait = 20; // s, the most that the server holds a request
const shortWait = 5; // s, while other photos wait for their turn, and for the first poll
const slack = 15_000; // ms on top of the wait, after which a poll counts as lost

export class Follower {
	#queue = []; // {id, version, wait}, the next one in front
	#polls = new Set(); // {job, control, then}
	#paused = new Map(); // job: the timer after which it is polled again
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
		for (const [job, timer] of this.#paused) {
			if (job.id !== id) continue;
			clearTimeout(timer);
			this.#paused.delete(job);
		}
		for (const poll of this.#polls) if (poll.job.id === id) this.#abort(poll, () => {});
	}

	// Polls again at once: after the machine slept, connections may be dead without an error.
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
		while (!this.#timer && this.#polls.size < maxPolls && this.#queue.length) this.#poll(this.#queue.shift());
	}

	async #poll(job) {
		const poll = { job, control: new AbortController(), then: (got) => this.#take(job, got) };
		this.#polls.add(poll);
		const query = job.wait ? `?wait=${job.wait}s&version=${job.version}` : '';
		const ms = job.wait * 1000 + slack;
		const began = performance.now();
		const got = await ask(`/image/${job.id}${query}`, { ms, signal: poll.control.signal });
		got.early = performance.now() - began < job.wait * 1000 - 100; // the clocks of both sides differ a little
		// The page learns of an abort before the server does; only then may another poll begin.
		if (poll.control.signal.aborted) await new Promise((resolve) => setTimeout(resolve, 100));
		this.#polls.delete(poll);
		poll.then(got);
		this.#pump();
	}

	#take(job, got) {
		if (got.image) {
			this.#failures = 0;
			const pause = this.#pause(job, got);
			const crowded = this.#queue.length + this.#polls.size >= maxPolls;
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

	// Returns the pause before the next poll of a photo, in ms. A server that is full, or stops, answers polls at once;
	// polling again at once would overload it.
	#pause(job, got) {
		const unchanged = got.image.version === job.version && got.early;
		job.early = unchanged ? (job.early ?? 0) + 1 : 0;
		const after = got.after * (1 + Math.random() / 2); // so that many tabs do not poll at the same moment
		return Math.max(after, unchanged ? backoff(job.early + 1) : 0);
	}

	#later(job, ms) {
		if (!ms) return this.#queue.push(job);
		const timer = setTimeout(() => {
			this.#paused.delete(job);
			this.#queue.push(job);
			this.#pump();
		}, ms);
		this.#paused.set(job, timer);
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
