"""Blobs, clustered by k-means, and a picture of them: kmeans_blobs.png."""

from sklearn.datasets import make_blobs

from gpuclust import KMeans
from gpuclust.metrics import adjusted_rand_score
from gpuclust.report import plot_clusters

X, truth = make_blobs(2000, centers=5, cluster_std=0.8, random_state=3)

kmeans = KMeans(n_clusters=5, random_state=0).fit(X)

print(f"ARI {adjusted_rand_score(truth, kmeans.labels_):.3f}")
plot_clusters(X, "kmeans_blobs.png", labels=kmeans.labels_, centers=kmeans.cluster_centers_, title="k-means")
