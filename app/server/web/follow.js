// Follows photos from "stored" to their end with long polls, two of them at most per tab. The oldest go first,
// as in the server's queue; one that did not change gives its place to the next.
import { ask, backoff, transient } from './http.js';

const lanes = 2;
const longWait = 20; // s, the most that the server holds a request
const sharedWait = 5; // s, while others wait for their turn
const slack = 15_000; // ms on top of the wait before a poll counts as dead

export class Follower {
	#queue = []; // {id, version}, whose turn is next in front
	#polls = new Map(); // id -> {job, wait, control}
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
		this.#queue.push({ id, version });
		// Long waits began when nobody else waited: take their places back, in front.
		if (this.#crowded) this.#interrupt((poll) => poll.wait > sharedWait);
		this.#pump();
	}

	stop(id) {
		this.#queue = this.#queue.filter((job) => job.id !== id);
		const poll = this.#polls.get(id);
		this.#polls.delete(id);
		poll?.control.abort();
		this.#pump();
	}

	// After a sleep the connections may be dead without anybody having noticed: ask again at once.
	wake() {
		clearTimeout(this.#timer);
		this.#timer = 0;
		this.#interrupt(() => true);
		this.#pump();
	}

	get #crowded() {
		return this.#queue.length + this.#polls.size > lanes;
	}

	#interrupt(which) {
		for (const poll of [...this.#polls.values()].filter(which)) {
			this.#polls.delete(poll.job.id);
			this.#queue.unshift(poll.job);
			poll.control.abort();
		}
	}

	#pump() {
		while (!this.#timer && this.#polls.size < lanes && this.#queue.length) this.#poll(this.#queue.shift());
	}

	async #poll(job) {
		const wait = job.version === undefined ? 0 : this.#crowded ? sharedWait : longWait;
		const poll = { job, wait, control: new AbortController() };
		this.#polls.set(job.id, poll);
		const query = job.version === undefined ? '' : `?wait=${wait}s&version=${job.version}`;
		const got = await ask(`/image/${job.id}${query}`, { ms: wait * 1000 + slack, signal: poll.control.signal });
		if (this.#polls.get(job.id) !== poll) return; // stopped, or has lost its place
		this.#polls.delete(job.id);
		if (got.image) {
			this.#failures = 0;
			job.version = got.image.version;
			if (!final(got.image)) this.#queue.push(job);
			this.#got(job.id, got.image);
		} else if (transient(got.status)) {
			this.#queue.unshift(job);
			this.#rest(Math.max(backoff(this.#failures++), got.after ?? 0));
		} else {
			this.#got(job.id, null);
		}
		this.#pump();
	}

	#rest(ms) {
		clearTimeout(this.#timer);
		this.#timer = setTimeout(() => {
			this.#timer = 0;
			this.#pump();
		}, ms);
	}
}

export const final = (image) => image.state === 'processed' || image.state === 'failed';
