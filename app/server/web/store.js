// Storage of this browser: one row per photo, its bytes until the server has them, and a small copy for the
// comparison. IndexedDB if it works, else localStorage for the rows only, else nothing. No call fails: without
// storage a photo is only lost by a reload.

// The stored fields of a photo. owner is the tab that is sending it, beat the time of its last heartbeat; there are
// no web locks on plain HTTP.
const fields = ['id', 'name', 'size', 'added', 'stage', 'version', 'since', 'note', 'warning', 'kind', 'own', 'owner', 'beat'];
const key = 'imagery.photos';
const openTimeout = 3000; // ms; some browsers never answer an open in private windows

let db = null;
let memory = new Map(); // the rows when there is no IndexedDB

const row = (photo) => Object.fromEntries(fields.filter((f) => photo[f] !== undefined).map((f) => [f, photo[f]]));

const result = (request) =>
	new Promise((resolve, reject) => {
		request.onsuccess = () => resolve(request.result);
		request.onerror = () => reject(request.error);
	});

// Runs work in one transaction. Resolves when the transaction is complete, not only its requests.
function transact(mode, work) {
	return new Promise((resolve, reject) => {
		const tx = db.transaction(['photos', 'blobs'], mode);
		let value;
		tx.oncomplete = () => resolve(value);
		tx.onabort = tx.onerror = () => reject(tx.error);
		Promise.resolve(work(tx.objectStore('photos'), tx.objectStore('blobs'))).then((v) => (value = v), reject);
	});
}

const read = (work) => transact('readonly', work).catch(() => undefined);
const write = (work) => transact('readwrite', work).then(() => true, () => false);

// Opens the storage and returns whether it can keep bytes.
export async function open() {
	try {
		const request = indexedDB.open('imagery', 1);
		request.onupgradeneeded = () => {
			request.result.createObjectStore('photos', { keyPath: 'id' });
			request.result.createObjectStore('blobs'); // by [id, kind]; apart, so that a heartbeat rewrites no photo
		};
		const late = new Promise((_, reject) => setTimeout(reject, openTimeout));
		db = await Promise.race([result(request), late]);
	} catch {
		try {
			memory = new Map(JSON.parse(localStorage[key] ?? '[]').map((r) => [r.id, r]));
		} catch {
			// Forbidden or unreadable: the rows live in this tab only.
		}
	}
	return db !== null;
}

function saveRows() {
	try {
		localStorage[key] = JSON.stringify([...memory.values()]);
	} catch {
		// Full or forbidden.
	}
}

// All rows, oldest first.
export async function all() {
	const rows = db ? ((await read((photos) => result(photos.getAll()))) ?? []) : [...memory.values()];
	return rows.sort((a, b) => a.added - b.added);
}

export const get = async (id) => (db ? read((photos) => result(photos.get(id))) : memory.get(id));

export async function put(photo) {
	if (db) return write((photos) => void photos.put(row(photo)));
	memory.set(photo.id, row(photo));
	saveRows();
}

// Writes the row only if it still exists: another tab may have removed the photo.
export async function update(photo) {
	const there = (old) => old && old.stage !== 'removed';
	if (!db) return there(memory.get(photo.id)) && put(photo);
	return write(async (photos) => {
		if (there(await result(photos.get(photo.id)))) photos.put(row(photo));
	});
}

export async function remove(id) {
	if (db) {
		return write((photos, blobs) => {
			photos.delete(id);
			blobs.delete(IDBKeyRange.bound([id], [id, []])); // every kind
		});
	}
	if (memory.delete(id)) saveRows();
}

// The blobs of a photo; kind is 'bytes' or 'copy'. keep resolves to whether the blob is stored.
export const keep = async (id, kind, blob) => db !== null && write((_, blobs) => void blobs.put(blob, [id, kind]));
export const blob = async (id, kind) => db && read((_, blobs) => result(blobs.get([id, kind])));
export const drop = async (id, kind) => db && write((_, blobs) => void blobs.delete([id, kind]));
