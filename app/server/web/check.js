// Checks of a file before it is sent, and the small copy that the comparison shows later.

const maxBytes = 20 * 2 ** 20;
// The page contains the server's limit, so that both refuse the same photos.
export const maxPixels = Number(document.querySelector('meta[name="max-pixels"]').content);

const copySide = 1600; // px of the longer side: sharp on a large screen, a few hundred KB in the browser's storage

// Returns a version 4 UUID. crypto.randomUUID exists only in secure contexts, so not without a certificate.
export function uuid() {
	const b = crypto.getRandomValues(new Uint8Array(16));
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	const hex = Array.from(b, (x) => x.toString(16).padStart(2, '0')).join('');
	return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

const tenths = (x) => (Math.ceil(x * 10) / 10).toLocaleString('en', { maximumFractionDigits: 1 });

// What a file is by its first bytes, as names and types may be wrong.
const kinds = {
	JPEG: /^\xff\xd8\xff/,
	PNG: /^\x89PNG\r\n\x1a\n/,
	GIF: /^GIF8[79]a/,
	WebP: /^RIFF....WEBP/s,
	AVIF: /^....ftyp.*avi[fs]/s,
	HEIC: /^....ftyp.*(hei|hev|mif|msf)/s,
};

// Resolves to {reason} for a file that is no picture, which must not leave this browser, else to {kind}. What may be
// another kind of picture, such as a TIFF or a raw file, is sent: the server says what it is and what to do.
async function sniff(file) {
	let head;
	try {
		head = new Uint8Array(await file.slice(0, 32).arrayBuffer());
	} catch {
		return { reason: 'This file cannot be opened. If it is a folder, choose the photos in it.' };
	}
	const text = String.fromCharCode(...head);
	const kind = Object.keys(kinds).find((k) => kinds[k].test(text));
	if (kind || file.type.startsWith('image/') || /^(....ftyp|II|MM\0)/s.test(text)) return { kind: kind ?? 'photo' };
	const formats = document.querySelector('#formats').textContent;
	return { reason: `This is not a photo in a supported format: ${formats}.` };
}

// Resolves to an <img> that knows its size, or null when this browser cannot show the file. Only the header is
// decoded for that, so a picture of extreme dimensions needs no memory yet.
function load(url) {
	return new Promise((resolve) => {
		const img = new Image();
		img.onload = () => resolve(img);
		img.onerror = () => resolve(null);
		img.src = url;
	});
}

// Checks a file before it is sent: {reason} if it would be refused, else {url} for the preview, or {kind} of a file
// that this browser cannot show, such as HEIC in Chromium. That is sent anyway; the server decides.
export async function inspect(file) {
	const mb = (bytes) => `${tenths(bytes / 2 ** 20)} MB`;
	if (file.size > maxBytes) return { reason: `This photo has ${mb(file.size)}; up to ${mb(maxBytes)} can be sent.` };
	const { reason, kind } = file.size === 0 ? { reason: 'This file is empty.' } : await sniff(file);
	if (reason) return { reason };
	const url = URL.createObjectURL(file);
	const img = await load(url);
	if (!img) {
		URL.revokeObjectURL(url);
		return { kind };
	}
	const [w, h] = [img.naturalWidth, img.naturalHeight];
	if (w * h <= maxPixels) return { url };
	URL.revokeObjectURL(url);
	const size = `${w.toLocaleString('en')} × ${h.toLocaleString('en')} pixels, ${tenths((w * h) / 1e6)} million`;
	return { reason: `This photo has ${size}; up to ${tenths(maxPixels / 1e6)} million can be processed.` };
}

// One decode at a time: a 50 megapixel photo takes 200 MB while it is drawn.
let turn = Promise.resolve();

// Resolves to a small upright copy of the picture at url, or null when this browser cannot draw it.
export function shrink(url, type) {
	turn = turn.then(async () => {
		try {
			const img = await load(url);
			await img.decode();
			const scale = Math.min(1, copySide / Math.max(img.naturalWidth, img.naturalHeight));
			const canvas = document.createElement('canvas');
			canvas.width = Math.max(1, img.naturalWidth * scale);
			canvas.height = Math.max(1, img.naturalHeight * scale);
			canvas.getContext('2d').drawImage(img, 0, 0, canvas.width, canvas.height);
			// JPEG has no transparency; everything else keeps it.
			const format = type === 'image/jpeg' ? type : 'image/webp';
			return await new Promise((resolve) => canvas.toBlob(resolve, format, 0.85));
		} catch {
			return null;
		}
	});
	return turn;
}
