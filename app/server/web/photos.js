// The photos of this browser and their states: checked, sent, followed until final, stored, removed.
//
// photo.stage is checking, waiting, sending, lost, stopped or refused in the browser, then queued, done, failed or
// gone on the server; for a link from elsewhere also looking and empty.
import { inspect, shrink, uuid } from './check.js';
import { Follower } from './follow.js';
import * as store from './store.js';
import { Uploader } from './upload.js';

const remembered = 60; // finished photos that stay in the list
const beat = 3000; // ms between two heartbeats of a tab that has photos to send
const silent = 3 * beat; // after which another tab takes them over

export const photos = new Map();
const visitors = new Map(); // photos that are only shown, through a link
let notify = () => {};
const tab = tabName();

const uploader = new Uploader((photo) => notify(photo), ended);
const follower = new Follower(got);

// The name is the same after a reload, so that a tab continues its own uploads at once.
function tabName() {
	try {
		return (sessionStorage.tab ??= uuid());
	} catch {
		return uuid();
	}
}

// Loads the stored photos and continues with them; from then on changed(photo) is called whenever a photo changes.
// Resolves to whether this browser can keep bytes over a reload.
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
		if (picture && !photo.kind) photo.url = URL.createObjectURL(picture);
		if (photo.url && !copy) keepCopy(photo, picture.type);
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
		setTimeout(checkAgain, beat, photo);
		return;
	}
	claim(photo);
	uploader.add(photo);
}

async function checkAgain(photo) {
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
	photo.note = `This is a different file. Choose “${photo.name}” again, unchanged.`;
	notify(photo);
}

// Checks the file, stores it, sends it. Row and bytes are stored before the first request, so that a reload knows
// the id that the server may have received.
async function fill(photo, file) {
	photo.stage = 'checking';
	notify(photo);
	const { reason, url, kind } = await inspect(file);
	const here = () => photos.get(photo.id) === photo; // and not removed meanwhile
	if (!here()) return;
	Object.assign(photo, reason ? { stage: 'refused', note: reason } : { stage: 'waiting', note: '', url, kind, file });
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

// Called when the uploader has finished. The bytes are deleted once the server has decided; a lost or stopped photo
// may continue later.
function ended(photo, image) {
	photo.owner = photo.beat = undefined;
	if (image || photo.stage === 'refused') {
		photo.file = undefined;
		store.drop(photo.id, 'bytes');
	}
	if (image) applyState(photo, image);
	store.update(photo);
	notify(photo);
	resume(photo);
}

function got(id, image) {
	const photo = photos.get(id) ?? visitors.get(id);
	if (!photo) return;
	if (image) applyState(photo, image);
	else Object.assign(photo, { stage: 'gone', note: 'There is no photo under this link. It may have expired, or the link may be mistyped.' });
	if (photos.has(id)) store.update(photo);
	notify(photo);
}

function applyState(photo, image) {
	const stage = { created: 'empty', uploaded: 'queued', processed: 'done', failed: 'failed' }[image.state];
	if (stage === 'queued' && photo.stage !== 'queued') photo.since = Date.now();
	// Finished while the page was open, so the result is shown with an animation.
	photo.fresh = stage === 'done' && ['queued', 'sending'].includes(photo.stage);
	Object.assign(photo, { stage, version: image.version, note: image.error ?? '', warning: image.warning });
}

// Returns the photo behind a link: this browser's own, or another one, which is followed until leave.
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

// Removes the photo from the list. Its row stays, marked, until purge or the next start of the page; undo restores
// it. Nothing changes on the server.
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

// Ends all pauses, because the network is back or the tab woke up.
export function wake() {
	uploader.wake();
	follower.wake();
}

// Reports whether closing the tab would lose bytes that are stored nowhere else.
export const wouldLosePhotos = () => uploader.unsent.some((photo) => !photo.kept && photo.file);

// Lets another tab send at once what this one has not sent.
export function release() {
	for (const photo of uploader.unsent) store.update(Object.assign(photo, { beat: 0 }));
}
