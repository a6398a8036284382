// The photos of this browser and the life of each: checked, sent, followed to its end, remembered, removed.
//
// photo.stage is checking, waiting, sending, lost, stopped or refused on the browser's side, then queued, done,
// failed or gone as the server says; for a link that somebody else made also looking and empty.
import { inspect, shrink, uuid } from './check.js';
import { Follower } from './follow.js';
import * as store from './store.js';
import { Uploader } from './upload.js';

const remembered = 60; // finished photos that stay in the list
const beat = 3000; // ms between two signs of life of a tab that has photos to send
const silent = 3 * beat; // after which another tab takes them over

export const photos = new Map();
const visitors = new Map(); // photos that are only looked at, through a link
let notify = () => {};
const tab = tabName();

const uploader = new Uploader((photo) => notify(photo), ended);
const follower = new Follower(got);

// The same name after a reload, so that a tab takes up its own uploads at once.
function tabName() {
	try {
		return (sessionStorage.tab ??= uuid());
	} catch {
		return uuid();
	}
}

// Reads what is remembered and goes on with it; changed(photo) is called whenever a photo looks different from
// then on. Resolves to whether this browser can keep bytes over a reload.
export async function start(changed) {
	notify = changed;
	const keeps = await store.open();
	const rows = await store.all();
	const over = rows.filter((r) => ['done', 'failed', 'refused', 'gone'].includes(r.stage));
	const old = [...rows.filter((r) => r.stage === 'removed'), ...over.slice(0, -remembered)];
	for (const r of old) store.remove(r.id);
	for (const photo of rows.filter((r) => !old.includes(r))) {
		const copy = await store.blob(photo.id, 'copy');
		const picture = copy ?? (await store.blob(photo.id, 'bytes'));
		if (picture) photo.url = URL.createObjectURL(picture);
		if (picture && !copy) keepCopy(photo, picture.type);
		photos.set(photo.id, photo);
		notify(photo);
		resume(photo);
	}
	setInterval(() => uploader.unsent.forEach(claim), beat);
	return keeps;
}

function claim(photo) {
	Object.assign(photo, { owner: tab, beat: Date.now() });
	store.update(photo);
}

function resume(photo) {
	if (photo.stage === 'queued') follower.follow(photo.id, photo.version);
	if (!['waiting', 'sending'].includes(photo.stage)) return;
	if (photo.owner && photo.owner !== tab && Date.now() - photo.beat < silent) {
		Object.assign(photo, { stage: 'waiting', note: 'Another tab is sending this photo.' });
		notify(photo);
		setTimeout(lookAgain, beat, photo);
		return;
	}
	claim(photo);
	uploader.add(photo);
}

async function lookAgain(photo) {
	const now = await store.get(photo.id);
	if (photos.get(photo.id) !== photo) return;
	const there = now && now.stage !== 'removed';
	if (there) Object.assign(photo, now);
	else photos.delete(photo.id);
	notify(photo);
	if (there) resume(photo);
}

// Takes files in the order given and returns their photos. With an id the first file is for that id, whatever
// this list had under it.
export function add(files, id) {
	const now = Date.now();
	return files.slice(0, id ? 1 : files.length).map((file, i) => {
		const photo = { id: id ?? uuid(), own: !id, name: file.name || 'Pasted photo', size: file.size, added: now - i };
		uploader.drop(photo.id);
		follower.stop(photo.id);
		photos.set(photo.id, photo);
		fill(photo, file);
		return photo;
	});
}

export function pickAgain(photo, file) {
	if (file.size === photo.size) return void fill(photo, file);
	photo.note = `That is another file. Choose “${photo.name}” as it was.`;
	notify(photo);
}

// Looks at the file, remembers it, sends it. Row and bytes are stored before the first request goes out:
// whatever happens then, a reload knows the id that the server may have seen.
async function fill(photo, file) {
	photo.stage = 'checking';
	notify(photo);
	const { reason, url } = await inspect(file);
	const here = () => photos.get(photo.id) === photo; // and not removed meanwhile
	if (!here()) return;
	Object.assign(photo, reason ? { stage: 'refused', note: reason } : { stage: 'waiting', note: '', url, file });
	notify(photo);
	await store.put(photo);
	if (reason) return;
	await store.drop(photo.id, 'copy');
	photo.kept = await store.keep(photo.id, 'bytes', file);
	if (!here()) return void store.remove(photo.id);
	claim(photo);
	uploader.add(photo);
	if (url) keepCopy(photo, file.type);
}

async function keepCopy(photo, type) {
	const { url } = photo;
	const copy = await shrink(url, type);
	if (!copy || photos.get(photo.id) !== photo) return;
	await store.keep(photo.id, 'copy', copy);
	photo.url = URL.createObjectURL(copy);
	notify(photo);
	setTimeout(URL.revokeObjectURL, 5000, url); // it is on the screen until the copy has loaded
}

// The uploader's last word. The bytes go once the server has decided; what is lost or stopped may go on.
function ended(photo, image) {
	photo.owner = photo.beat = undefined;
	if (image || photo.stage === 'refused') {
		photo.file = undefined;
		store.drop(photo.id, 'bytes');
	}
	if (image) settle(photo, image);
	store.update(photo);
	notify(photo);
	resume(photo);
}

function got(id, image) {
	const photo = photos.get(id) ?? visitors.get(id);
	if (!photo) return;
	if (image) settle(photo, image);
	else Object.assign(photo, { stage: 'gone', note: 'Nothing is kept under this link. It may have expired, or have a typing error.' });
	if (photos.has(id)) store.update(photo);
	notify(photo);
}

function settle(photo, image) {
	const stage = { created: 'empty', uploaded: 'queued', processed: 'done', failed: 'failed' }[image.state];
	if (stage === 'queued' && photo.stage !== 'queued') photo.since = Date.now();
	// Turned while somebody watched, so it may make an entrance.
	photo.fresh = stage === 'done' && ['queued', 'sending'].includes(photo.stage);
	Object.assign(photo, { stage, version: image.version, note: image.error ?? '' });
}

// The photo behind a link: this browser's own, or a visitor that is followed until leave.
export function visit(id) {
	if (photos.has(id)) return photos.get(id);
	const photo = { id, visitor: true, name: '', stage: 'looking' };
	visitors.set(id, photo);
	follower.follow(id);
	return photo;
}

export function leave({ id }) {
	if (visitors.delete(id) && !photos.has(id)) follower.stop(id);
}

// Takes the photo off the list. What is remembered of it stays, marked, until purge, or the next start of the
// page; undo brings it back. What the server has, it keeps.
export function remove(photo) {
	uploader.drop(photo.id);
	follower.stop(photo.id);
	photos.delete(photo.id);
	store.put({ ...photo, stage: 'removed' });
	notify(photo);
	const undo = () => {
		photos.set(photo.id, photo);
		store.put(photo);
		notify(photo);
		resume(photo);
	};
	const purge = () => photos.has(photo.id) || store.remove(photo.id);
	return { undo, purge };
}

export function retry(photo) {
	if (photo.stage === 'stopped') {
		photo.stage = 'waiting';
		resume(photo);
	}
	uploader.now(photo.id);
}

// The network is back or the tab woke up: nobody waits for a timer that was set in another life.
export function wake() {
	uploader.wake();
	follower.wake();
}

// True while closing the tab would lose bytes that are nowhere else.
export const fragile = () => uploader.unsent.some((photo) => !photo.kept && photo.file);

// Another tab may take over at once what this one had not sent.
export function release() {
	for (const photo of uploader.unsent) store.update(Object.assign(photo, { beat: 0 }));
}
