// @ts-check
/**
 * What this phone keeps, in IndexedDB: the outbox, photographs waiting to be sent, and the last orders it was told.
 *
 * @typedef {import("./outbox.js").Entry} Entry
 */

const NAME = "guoyuan-farmer";
const VERSION = 1;

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function result(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/**
 * Resolve when the transaction is on disk, which is the promise that matters here.
 * @param {IDBTransaction} transaction
 * @returns {Promise<void>}
 */
function committed(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
    transaction.onerror = () => reject(transaction.error);
  });
}

export class PhoneStore {
  /** @param {IDBDatabase} database */
  constructor(database) {
    this.database = database;
  }

  /** @returns {Promise<PhoneStore>} */
  static async open() {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      const database = request.result;
      const outbox = database.createObjectStore("outbox", { keyPath: "seq", autoIncrement: true });
      outbox.createIndex("uuid", "uuid", { unique: true });
      database.createObjectStore("photos");
      database.createObjectStore("kept");
    };
    const database = await result(request);
    database.onversionchange = () => database.close();
    return new PhoneStore(database);
  }

  /**
   * @param {string} name
   * @param {IDBTransactionMode} mode
   */
  #begin(name, mode) {
    // Strict: a phone whose battery falls out must still have what the farmer was told is safe.
    const transaction = this.database.transaction(name, mode, { durability: "strict" });
    return { transaction, store: transaction.objectStore(name) };
  }

  /** @returns {Promise<Entry[]>} */
  async all() {
    return result(this.#begin("outbox", "readonly").store.getAll());
  }

  /**
   * @param {Omit<Entry, "seq">} entry
   * @returns {Promise<Entry>}
   */
  async add(entry) {
    const { transaction, store } = this.#begin("outbox", "readwrite");
    const seq = /** @type {number} */ (await result(store.add(entry)));
    await committed(transaction);
    return { ...entry, seq };
  }

  /** @param {Entry} entry */
  async put(entry) {
    const { transaction, store } = this.#begin("outbox", "readwrite");
    store.put(entry);
    await committed(transaction);
  }

  /** @param {string} uuid */
  async remove(uuid) {
    const { transaction, store } = this.#begin("outbox", "readwrite");
    const key = await result(store.index("uuid").getKey(uuid));
    if (key !== undefined) store.delete(key);
    await committed(transaction);
  }

  /**
   * @param {string} sha256
   * @param {Blob} blob
   */
  async putPhoto(sha256, blob) {
    const { transaction, store } = this.#begin("photos", "readwrite");
    store.put(blob, sha256);
    await committed(transaction);
  }

  /**
   * @param {string} sha256
   * @returns {Promise<Blob | undefined>}
   */
  async photo(sha256) {
    return result(this.#begin("photos", "readonly").store.get(sha256));
  }

  /** @param {string} sha256 */
  async removePhoto(sha256) {
    const { transaction, store } = this.#begin("photos", "readwrite");
    store.delete(sha256);
    await committed(transaction);
  }

  /**
   * @param {string} key
   * @returns {Promise<any>}
   */
  async recall(key) {
    return result(this.#begin("kept", "readonly").store.get(key));
  }

  /**
   * @param {string} key
   * @param {any} value  undefined forgets it
   */
  async remember(key, value) {
    const { transaction, store } = this.#begin("kept", "readwrite");
    if (value === undefined) store.delete(key);
    else store.put(value, key);
    await committed(transaction);
  }
}
