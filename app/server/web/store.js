// What this browser remembers: one row per photo, its bytes until the server has them, and a small copy of its
// own for the comparison. IndexedDB if it works here, else localStorage for the rows alone, else nothing.

// Everything of a photo that outlives the tab. owner and beat say which tab is sending it, and when that tab
// was last seen alive; there are no web locks on plain HTTP.
const fields = ['id', 'name', 'size', 'added', 'stage', 'version', 'note', 'own', 'owner', 'beat'];
const key = 'imagery.photos';
const openTimeout = 3000; // some browsers never answer an open in private windows

let db = null;
let memory = new Map(); // the rows when there is no IndexedDB

const row = (photo) => Object.fromEntries(fields.filter((f) => photo[f] !== undefined).map((f) => [f, photo[f]]));

const result = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

// Runs work in one transaction; resolves when that is durable, not merely when its requests are.
function transact(mode, work) {
  return new Promise((resolve, reject) => {
    const tx = db.transaction(['photos', 'blobs'], mode);
    let value;
    tx.oncomplete = () => resolve(value);
    tx.onabort = tx.onerror = () => reject(tx.error);
    Promise.resolve(work(tx.objectStore('photos'), tx.objectStore('blobs'))).then((v) => (value = v), reject);
  });
}

function connect() {
  const request = indexedDB.open('imagery', 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore('photos', { keyPath: 'id' });
    request.result.createObjectStore('blobs'); // [id, 'bytes' | 'copy'], apart so that a heartbeat rewrites no photo
  };
  const late = new Promise((_, reject) => setTimeout(reject, openTimeout, new Error('IndexedDB does not answer')));
  return Promise.race([result(request), late]);
}

// Opens the memory and says whether it can keep bytes.
export async function open() {
  try {
    db = await connect();
    db.onversionchange = () => db.close();
  } catch {
    try {
      memory = new Map(JSON.parse(localStorage.getItem(key) ?? '[]').map((r) => [r.id, r]));
    } catch {
      // No storage at all: this tab is the memory.
    }
  }
  return db !== null;
}

function saveRows() {
  try {
    localStorage.setItem(key, JSON.stringify([...memory.values()]));
  } catch {
    // Full or forbidden. The photos of this tab go on; only a reload forgets them.
  }
}

export async function all() {
  const rows = db ? await transact('readonly', (photos) => result(photos.getAll())) : [...memory.values()];
  return rows.sort((a, b) => a.added - b.added);
}

export const get = (id) => (db ? transact('readonly', (photos) => result(photos.get(id))) : memory.get(id));

export async function put(photo) {
  if (db) return transact('readwrite', (photos) => void photos.put(row(photo)));
  memory.set(photo.id, row(photo));
  saveRows();
}

// Writes the row only if it is still there: another tab may have removed the photo, and removed is removed.
export async function update(photo) {
  if (!db) return memory.has(photo.id) && put(photo);
  return transact('readwrite', async (photos) => {
    if (await result(photos.get(photo.id))) photos.put(row(photo));
  });
}

// True when the blob is safe here; false without IndexedDB or room, and then the caller's own copy is all there is.
export async function keep(id, kind, blob) {
  if (!db) return false;
  try {
    await transact('readwrite', (_, blobs) => void blobs.put(blob, [id, kind]));
    return true;
  } catch {
    return false;
  }
}

export const blob = (id, kind) => (db ? transact('readonly', (_, blobs) => result(blobs.get([id, kind]))) : undefined);

export const forget = async (id, kind) => db && transact('readwrite', (_, blobs) => void blobs.delete([id, kind]));

export async function remove(id) {
  if (db) {
    return transact('readwrite', (photos, blobs) => {
      photos.delete(id);
      blobs.delete(IDBKeyRange.bound([id], [id, []])); // every kind
    });
  }
  memory.delete(id);
  saveRows();
}
